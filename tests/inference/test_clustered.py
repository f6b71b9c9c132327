"""Clustered intervals against SciPy, hand values, limits and invariances; their coverage in short
runs.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, t

from fairrecon_jax.inference.clustered import (
    COVERS,
    Interval,
    change_interval,
    cluster_sums,
    difference_interval,
    extra_change,
    rate_interval,
)
from fairrecon_jax.inference.clustered_values import (
    auroc_change_interval,
    auroc_interval,
    mean_interval,
)
from fairrecon_jax.inference.delong import placements

CLOSE = {"rtol": 0, "atol": 1e-10}


def close(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def ones(total):
    return np.ones_like(np.asarray(total, float))


def clustered(seed=0, patients=40, cells=3):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 5, (patients, cells))
    return rng, rng.binomial(images, 0.3).astype(float), images.astype(float)


def held(interval, truth):
    known = np.isfinite(interval.low)
    inside = (interval.low <= truth) & (truth <= interval.high)
    return inside[known].mean(), known.mean()


@pytest.mark.parametrize(
    ("events", "patients"), [(0, 20), (1, 20), (7, 20), (43, 43), (1, 1), (300, 1000)]
)
def test_one_image_a_patient_gives_wilson(events, patients):
    s = (np.arange(patients) < events) * 1.0
    for alpha in (0.05, 0.2):
        oracle = binomtest(events, patients).proportion_ci(1 - alpha, method="wilson")
        actual = rate_interval(s, ones(s), alpha)
        close(actual[2:], oracle)
        assert actual.value == events / patients
    if patients > 1:
        error = np.sqrt(np.var(s, ddof=1) / patients)
        np.testing.assert_allclose(rate_interval(s, ones(s)).std_error, error, **CLOSE)


def test_rare_events_get_the_poisson_limit_and_hold_their_word_in_every_rate():
    """Exact coverage over a fine grid of rates; Wilson's smallest is .84."""
    for patients, lowest in ((20, 0.925), (50, 0.925), (200, 0.925)):
        count = np.arange(patients + 1)
        s = (np.arange(patients)[:, None] < count) * 1.0
        rates = np.geomspace(0.02 / patients, 0.5, 500)[:, None]
        chance = binom.pmf(count, patients, rates)
        coverage = []
        for rare in (False, True):
            i = rate_interval(s, ones(s), rare=rare)
            coverage.append(np.sum(chance * ((i.low <= rates) & (rates <= i.high)), -1).min())
        assert coverage[0] < 0.86
        assert coverage[1] > lowest
    one = (np.arange(50) == 0) * 1.0
    np.testing.assert_allclose(
        rate_interval(one, ones(one), rare=True).low, -np.log(0.95) / 50, **CLOSE
    )
    np.testing.assert_allclose(
        rate_interval(1 - one, ones(one), rare=True).high, 1 + np.log(0.95) / 50, **CLOSE
    )


def test_whole_patients_that_err_alike_count_once():
    """All images of a patient alike: doubling every patient's images changes nothing but the t
    quantile of many images, and the interval is wider than that of as many single images.
    """
    s = np.r_[np.ones(12), np.zeros(28)]
    single = rate_interval(s, ones(s))
    double, many = rate_interval(2 * s, 2 * ones(s)), rate_interval(50 * s, 50 * ones(s))
    np.testing.assert_allclose(double.std_error, single.std_error, **CLOSE)
    ratio = t.ppf(0.975, 39) / t.ppf(0.975, 79)
    assert single.high - single.low < double.high - double.low < many.high - many.low
    assert (double.high - double.low) / (single.high - single.low) < ratio


def test_rates_at_the_bounds_know_patients_not_images():
    nothing = rate_interval(np.zeros((30, 1)), np.full((30, 1), 8.0))
    everything = rate_interval(np.full((30, 1), 8.0), np.full((30, 1), 8.0))
    assert nothing.low == 0
    assert everything.high == 1
    np.testing.assert_allclose(nothing.high, 1 - everything.low, **CLOSE)
    size = 30 * (t.ppf(0.975, 239) / t.ppf(0.975, 29)) ** 2
    np.testing.assert_allclose(nothing.high, 1.959964**2 / (size + 1.959964**2), atol=1e-6)


@pytest.mark.parametrize("patients", [3, 20, 5000])
def test_no_flip_leaves_a_symmetric_interval(patients):
    i = change_interval(np.zeros(patients), np.ones(patients))
    z2 = 1.959963984540054**2
    assert i.value == 0
    assert i.std_error == 0
    np.testing.assert_allclose([-i.low, i.high], z2 / (patients + z2), **CLOSE)


def test_change_swaps_with_its_sign_and_is_a_rate_difference():
    rng, up, images = clustered(1)
    s = up - rng.binomial((images - up).astype(int), 0.2)
    forth, back = change_interval(s, images), change_interval(-s, images)
    close((forth.value, forth.low, forth.high), (-back.value, -back.high, -back.low))
    np.testing.assert_allclose(forth.value, s.sum(0) / images.sum(0), **CLOSE)
    assert np.all((forth.low < forth.value) & (forth.value < forth.high))
    assert np.all((forth.low >= -1) & (forth.high <= 1))


def test_one_sided_losses_have_the_limit_of_their_rate():
    s = -1.0 * (np.arange(100) < 7)
    change, rate = change_interval(s, ones(s)), rate_interval(-s, ones(s))
    np.testing.assert_allclose(change.low, -rate.high, **CLOSE)
    assert change.high > -rate.low
    one = -1.0 * (np.arange(100) < 1)
    assert change_interval(one, ones(one)).high > 0


@pytest.mark.parametrize("interval", [rate_interval, change_interval, mean_interval])
def test_order_and_absent_patients_do_not_matter(interval):
    rng, s, images = clustered(2)
    order = rng.permutation(len(s))
    expected = interval(s, images)
    close(interval(s[order], images[order]), expected)
    blank = np.zeros((7, 3))
    close(interval(np.r_[s, blank + np.nan], np.r_[images, blank]), expected)


@pytest.mark.parametrize("interval", [rate_interval, change_interval, mean_interval])
def test_trailing_axes_are_independent(interval):
    _, s, images = clustered(3)
    together = interval(s[:, :, None], images[:, :, None])
    assert together.low.shape == (3, 1)
    for k in range(3):
        close(interval(s[:, k], images[:, k]), [field[k, 0] for field in together])


@pytest.mark.parametrize("interval", [rate_interval, change_interval, mean_interval])
def test_a_stratum_without_images_is_nan(interval):
    for patients in (0, 4):
        i = interval(np.zeros((patients, 2)), np.zeros((patients, 2)))
        for field in i:
            np.testing.assert_array_equal(field, [np.nan, np.nan])


def test_copied_patients_narrow_the_interval_by_the_root_of_copies():
    _, s, images = clustered(4, patients=60)
    for interval in (rate_interval, change_interval, mean_interval):
        once, nine = interval(s, images), interval(np.tile(s, (9, 1)), np.tile(images, (9, 1)))
        np.testing.assert_allclose(nine.value, once.value, **CLOSE)
        ratio = (once.high - once.low) / (nine.high - nine.low)
        assert np.all((ratio > 2.8) & (ratio < 3.7))


def test_mean_is_a_t_interval_without_skewness():
    x = np.arange(-15.0, 16.0)
    i = mean_interval(x, ones(x))
    half = t.ppf(0.975, 30) * x.std(ddof=1) / np.sqrt(31)
    close((i.value, i.low, i.high), (0, -half, half))


def test_mean_moves_with_the_values_and_scales_with_them():
    rng = np.random.default_rng(5)
    x = rng.exponential(size=(40, 3))
    i, moved = mean_interval(x, ones(x)), mean_interval(5 - 2 * x, ones(x))
    close((moved.value, moved.low, moved.high), (5 - 2 * i.value, 5 - 2 * i.high, 5 - 2 * i.low))
    assert np.all(i.high - i.value > i.value - i.low)


def test_hall_limit_inverts_its_cubic():
    x = np.random.default_rng(6).exponential(size=60)
    n, i = len(x), mean_interval(x, np.ones(60))
    e = x - x.mean()
    a = (1 + 10 / n) * np.sum(e**3) / np.sum(e**2) ** 1.5
    y = (x.mean() - i.high) / i.std_error
    np.testing.assert_allclose(
        y + a * y**2 / 3 + a**2 * y**3 / 27 + a / 6, -t.ppf(0.975, n - 1), **CLOSE
    )


def test_a_mean_of_few_changed_or_few_effective_patients_is_not_estimable():
    x = np.zeros((50, 3))
    x[:4, 0], x[:5, 1], x[:5, 2] = -0.5, -0.5, -0.5
    weight = np.ones((50, 3))
    weight[0, 2] = 200
    i = mean_interval(x, weight)
    assert np.all(np.isfinite(i.value) & np.isfinite(i.std_error))
    np.testing.assert_array_equal(np.isfinite(i.low), [False, True, False])
    assert np.isnan(mean_interval(np.full(50, 0.7), np.ones(50)).low)
    assert np.isnan(mean_interval(x[:, 1], weight[:, 1], min_patients=60).low)


def test_difference_is_that_of_the_groups():
    _, s, images = clustered(7, patients=90)
    group = np.arange(90) % 3
    group[:5] = -1
    i = extra_change(s, images, group, 3)
    assert i.value.shape == (3, 3)
    for g in range(3):
        own = change_interval(s[group == g], images[group == g])
        others = (group != g) & (group >= 0)
        rest = change_interval(s[others], images[others])
        close([f[:, g] for f in i], difference_interval(own, rest))
        np.testing.assert_allclose(i.value[:, g], own.value - rest.value, **CLOSE)
        np.testing.assert_allclose(
            i.std_error[:, g] ** 2, own.std_error**2 + rest.std_error**2, **CLOSE
        )


def test_difference_has_newcombes_limits():
    """Newcombe (1998), 56/70 against 48/80: .0524 to .3339."""
    parts = [rate_interval((np.arange(n) < k) * 1.0, np.ones(n)) for k, n in ((56, 70), (48, 80))]
    np.testing.assert_allclose(difference_interval(*parts)[2:], [0.0524, 0.3339], atol=5e-5)


def test_an_exact_rest_leaves_the_group_alone_and_nan_stays():
    own = change_interval(-1.0 * (np.arange(20) < 3), np.ones(20))
    exact = Interval(*(np.array(v) for v in (0.1, 0.0, 0.1, 0.1)))
    d = difference_interval(own, exact)
    close((d.low, d.high), (own.low - 0.1, own.high - 0.1))
    assert np.isnan(difference_interval(own, exact._replace(low=np.nan)).high)
    same = difference_interval(own, own, 1.0)
    assert same.std_error == 0
    close((same.low, same.high), (-same.high, same.high))


def scores(seed, positives=30, negatives=50, gap=1.5):
    rng = np.random.default_rng(seed)
    label = np.r_[np.ones(positives), np.zeros(negatives)]
    return rng.normal(size=len(label)) + gap * label, label


def test_auroc_error_is_delongs_and_the_interval_mirrors():
    score, label = scores(8)
    area, influence = placements(label, score)
    i = auroc_interval(area, influence, 30, 50)
    np.testing.assert_allclose(i.std_error, np.sqrt(80 / 79 * np.sum(influence**2)), **CLOSE)
    mirrored = auroc_interval(1 - area, -influence, 30, 50)
    close((i.low, i.high), (1 - mirrored.high, 1 - mirrored.low))
    padded = auroc_interval(area, np.r_[influence, np.zeros(40)], 30, 50)
    close(padded, i)


def test_auroc_of_one_has_the_interval_of_the_smaller_class():
    i = auroc_interval(np.array([1.0, 0.0, np.nan]), np.zeros((80, 3)), 30, 50)
    size = 30 * (t.ppf(0.975, 78) / t.ppf(0.975, 29)) ** 2
    low = size / (size + 1.959963984540054**2)
    np.testing.assert_allclose(i.low, [low, 0, np.nan], **CLOSE)
    np.testing.assert_allclose(i.high, [1, 1 - low, np.nan], **CLOSE)


def test_auroc_change_mirrors_and_needs_patients_that_changed():
    (score, label), other = scores(9), scores(10)[0]
    (before, first), (after, second) = placements(label, score), placements(label, other)
    forth = auroc_change_interval(after - before, second - first, 30, 50)
    back = auroc_change_interval(before - after, first - second, 30, 50)
    close((forth.value, forth.low, forth.high), (-back.value, -back.high, -back.low))
    assert forth.low < forth.value < forth.high
    same = auroc_change_interval(0.0, np.zeros(80), 30, 50)
    assert same.value == 0
    assert np.isnan(same.low)
    assert np.isnan(auroc_change_interval(after - before, second - first, 9, 50).low)


def test_rates_changes_and_means_hold_the_truth():
    rng = np.random.default_rng(11)
    images = rng.integers(1, 13, (100, 600))
    own = rng.beta(0.2, 1.8, images.shape)
    lost = rng.binomial(images, own)
    checks = {
        "rate": held(rate_interval(lost, images), 0.1),
        "change": held(change_interval(-lost, images), -0.1),
        "exponential": held(mean_interval(rng.exponential(size=(30, 600)), np.ones((30, 600))), 1),
        "normal": held(mean_interval(rng.normal(size=(20, 600)), np.ones((20, 600))), 0),
    }
    for name, (coverage, printed) in checks.items():
        assert printed == 1, name
        assert 0.92 < coverage < 0.99, (name, coverage)


def test_a_common_rare_loss_is_no_extra_loss_of_a_small_group():
    rng = np.random.default_rng(12)
    for q in (0.01, 0.02, 0.05, 0.1):
        parts = [-rng.binomial(1, q, (n, 400)) for n in (20, 1000)]
        i = difference_interval(*(change_interval(s, ones(s)) for s in parts))
        assert held(i, 0)[0] > 0.97


def test_auroc_holds_the_truth_near_one():
    rng = np.random.default_rng(13)
    found = []
    for _ in range(400):
        score = rng.exponential(size=150) * np.r_[np.full(50, 49.0), np.ones(100)]
        area, influence = placements(np.r_[np.ones(50), np.zeros(100)], score)
        found.append(auroc_interval(area, influence, 50, 100))
    both = Interval(*(np.array(field) for field in zip(*found, strict=True)))
    assert held(both, 0.98)[0] > 0.93


def test_influences_sum_to_zero():
    _, s, images = clustered(14)
    c = cluster_sums(s, images)
    np.testing.assert_allclose(c.influence.sum(0), 0, **CLOSE)
    np.testing.assert_array_equal(c.patients, (images > 0).sum(0))


def test_covers_names_every_interval():
    assert set(COVERS) == {
        "rate_interval",
        "change_interval",
        "difference_interval",
        "mean_interval",
        "auroc_interval",
        "auroc_change_interval",
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rate_interval([1.0], [1.0, 1.0]), r"positives and images .* \(1,\) and \(2,\)"),
        (lambda: rate_interval(1.0, 1.0), r"must be of one shape \[U, \.\.\.\]"),
        (lambda: rate_interval([2.0], [1.0]), "positives must lie between 0 and 1 times images"),
        (lambda: rate_interval([-1.0], [1.0]), "positives must lie between 0 and 1"),
        (lambda: rate_interval([1.0], [-1.0]), "images must be finite and at least 0"),
        (lambda: rate_interval([1.0], [1.0], 0.0), r"alpha must lie in \(0, 1\), got 0.0"),
        (lambda: change_interval([-2.0], [1.0]), "change must lie between -1 and 1 times images"),
        (lambda: change_interval([np.nan], [1.0]), "change holds 1 values that are not finite"),
        (lambda: mean_interval([np.inf], [1.0]), "total holds 1 values that are not finite"),
        (lambda: mean_interval([1.0], [1.0], 0.05, 1), "min_patients must be at least 2, got 1"),
        (lambda: extra_change([1.0], [1.0], [0, 1], 2), r"group must hold \(1,\) entries"),
        (lambda: auroc_interval([0.5], [0.1], 9, 9), r"trailing shape of value, got \(1,\)"),
        (lambda: auroc_interval(1.5, [0.1], 9, 9), r"value must lie in \[0, 1\]"),
        (lambda: auroc_interval(0.5, [0.1], -1, 9), "positives and negatives must be at least 0"),
        (
            lambda: difference_interval(*[rate_interval([1.0], [1.0])] * 2, correlation=2.0),
            r"correlation must lie in \[-1, 1\], got 2.0",
        ),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
