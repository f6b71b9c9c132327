"""The paired bootstrap against resampling by hand, SciPy's intervals and the multinomial
reduction.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fairrecon_jax.inference import bootstrap, counts, resampling
from fairrecon_jax.inference.bootstrap import bootstrap_decisions, bootstrap_means
from fairrecon_jax.inference.intervals import estimate, jackknife_moments, quantile, summarise

KEY = jax.random.key(3)
PATIENTS, GROUPS = 80, 3


def draw(seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(PATIENTS), rng.permutation(np.arange(PATIENTS) % 3 + 1))
    group = rng.integers(0, GROUPS, PATIENTS)[who]
    label = rng.integers(0, 2, len(who)).astype(float)
    original = (rng.random(len(who)) < 0.2 + 0.5 * label).astype(float)
    shaky = rng.beta(1, 3, PATIENTS)[who]
    reconstructed = np.where(rng.random(len(who)) < shaky, 1 - original, original)
    return original, reconstructed, label, group, who


def plain_gap(decision, label, group):
    rates = [[decision[(label == y) & (group == g)].mean() for g in range(GROUPS)] for y in (0, 1)]
    return max(max(r) - min(r) for r in rates)


def plain_replicates(data, unit, replicates, seed):
    o, r, y, g, who = data
    rng = np.random.default_rng(seed)
    rows_of = [np.flatnonzero(who == p) for p in range(PATIENTS)]
    values = []
    for _ in range(replicates):
        if unit == "image":
            rows = rng.integers(0, len(o), len(o))
        else:
            rows = np.concatenate([rows_of[p] for p in rng.integers(0, PATIENTS, PATIENTS)])
        values.append(plain_gap(r[rows], y[rows], g[rows]) - plain_gap(o[rows], y[rows], g[rows]))
    return np.array(values)


@pytest.mark.parametrize("unit", ["image", "patient"])
def test_replicates_are_distributed_as_resampling_by_hand(unit):
    data = draw()
    o, r, y, g, who = data
    expected = plain_replicates(data, unit, 1500, 0)
    if unit == "image":
        cells = counts.image_counts(o[None], r[None], y[None], g[None], groups=GROUPS)
        sums = bootstrap._images_to_sums(
            jnp.asarray(resampling.resample_images(cells, KEY, replicates=1500))
        )
    else:
        table = counts.patient_counts(
            o[None], r[None], y[None], g[None], who, patients=PATIENTS, groups=GROUPS
        )
        sums = resampling.resample_units(table, KEY, replicates=1500)
    pair = bootstrap.decision_statistics(sums)["eodd"]
    changes = np.asarray(pair.reconstructed - pair.original)[:, 0]
    assert stats.ks_2samp(changes, expected).pvalue > 1e-3
    assert changes.std() == pytest.approx(expected.std(), rel=0.1)


def test_multinomial_counts_have_the_moments_of_a_multinomial():
    cells = np.array([[[3, 0], [10, 87]], [[0, 0], [5, 5]]])
    drawn = resampling.resample_images(cells, KEY, replicates=4000).reshape(4000, 2, 4)
    np.testing.assert_array_equal(drawn.sum(-1), np.tile([100, 10], (4000, 1)))
    share = cells.reshape(2, 4) / [[100], [10]]
    np.testing.assert_allclose(drawn.mean(0), share * [[100], [10]], atol=0.2)
    expected = 100 * (np.diag(share[0]) - np.outer(share[0], share[0]))
    np.testing.assert_allclose(np.cov(drawn[:, 0].T), expected, atol=0.6)
    assert np.all(drawn[:, 0, 1] == 0)


def test_unit_weights_are_a_resample_of_the_right_size():
    weights = np.asarray(resampling.unit_weights(KEY, 0, 50))
    np.testing.assert_array_equal(weights.sum(1), 50)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.1)
    assert len(np.unique(weights, axis=0)) == len(weights)


def test_resampled_sums_are_weights_times_table():
    table = np.random.default_rng(0).normal(size=(30, 2, 3)).astype(np.float32)
    sums = np.asarray(resampling.resample_units(table, KEY, replicates=70))
    weights = np.concatenate([np.asarray(resampling.unit_weights(KEY, b, 30)) for b in (0, 1)])[:70]
    np.testing.assert_allclose(sums, np.einsum("rp,pij->rij", weights, table), atol=1e-4)


def test_bca_and_percentile_match_scipy():
    rng = np.random.default_rng(1)
    value = rng.exponential(size=PATIENTS) ** 2
    zero = np.zeros(PATIENTS)
    for method, name in (("bca", "BCa"), ("percentile", "percentile")):
        ours = bootstrap_means(
            zero,
            value,
            zero.astype(int),
            np.arange(PATIENTS),
            KEY,
            groups=2,
            replicates=4000,
            method=method,
        )["overall"]
        theirs = stats.bootstrap(
            (value,), np.mean, n_resamples=20000, method=name, rng=np.random.default_rng(0)
        )
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert ours.change.ci_low == pytest.approx(theirs.confidence_interval.low, abs=0.04 * width)
        assert ours.change.ci_high == pytest.approx(
            theirs.confidence_interval.high, abs=0.04 * width
        )
        assert ours.change.std_error == pytest.approx(theirs.standard_error, rel=0.05)
        assert ours.change.value == pytest.approx(value.mean(), rel=1e-5)


def test_jackknife_acceleration_by_slot_equals_by_image():
    o, r, y, g, _ = draw(2)
    table = counts.image_counts(o[None], r[None], y[None], g[None], groups=GROUPS)
    fast = bootstrap._jackknife_images(table)["eodd"]
    left = []
    for i in range(len(o)):
        keep = np.arange(len(o)) != i
        left.append([plain_gap(d[keep], y[keep], g[keep]) for d in (o, r)])
    values = np.array(left)
    for which, series in enumerate((values[:, 0], values[:, 1], values[:, 1] - values[:, 0])):
        d = series.mean() - series
        assert float(fast[which][0]) == pytest.approx(
            (d**3).sum() / (6 * (d**2).sum() ** 1.5), abs=1e-4
        )


def test_point_values_and_shapes():
    o, r, y, g, who = draw(3)
    both = np.stack([r, o])
    result = bootstrap_decisions(o, both, y, g, who, KEY, groups=GROUPS, replicates=100)
    assert set(result) == {"eodd", "eodd_mean", "eop", "rates"}
    assert result["eodd"].change.value.shape == (2,)
    assert result["rates"].change.value.shape == (2, 2, GROUPS)
    assert result["eodd"].original.value[0] == pytest.approx(plain_gap(o, y, g), abs=1e-6)
    assert result["eodd"].reconstructed.value[0] == pytest.approx(plain_gap(r, y, g), abs=1e-6)
    assert result["eodd"].change.value[1] == 0
    assert result["eodd"].p_two_sided[1] == 1
    assert result["eodd"].p_one_tailed[1] == 1
    by_image = bootstrap_decisions(
        o, r, y, g, who, KEY, groups=GROUPS, replicates=100, resample="image"
    )
    assert by_image["eodd"].change.value == pytest.approx(
        float(result["eodd"].change.value[0]), abs=1e-6
    )


def test_key_rows_and_devices():
    data = draw(4)
    order = np.random.default_rng(0).permutation(len(data[0]))
    first = bootstrap_decisions(*data, KEY, groups=GROUPS, replicates=100)["eodd"]
    again = bootstrap_decisions(*(a[order] for a in data), KEY, groups=GROUPS, replicates=100)[
        "eodd"
    ]
    other = bootstrap_decisions(*data, jax.random.key(4), groups=GROUPS, replicates=100)["eodd"]
    assert first.change.ci_low == pytest.approx(float(again.change.ci_low), abs=1e-6)
    assert first.change.std_error != other.change.std_error
    with jax.default_device(jax.devices()[-1]):
        elsewhere = bootstrap_decisions(*data, KEY, groups=GROUPS, replicates=100)["eodd"]
    assert first.change.std_error == elsewhere.change.std_error


def test_clustered_images_widen_the_patient_interval():
    o, r, y, g, who = (np.repeat(a, 4) for a in draw(5))
    by_patient = bootstrap_decisions(o, r, y, g, who, KEY, groups=GROUPS, replicates=400)[
        "rates"
    ].change.std_error
    by_image = bootstrap_decisions(
        o, r, y, g, who, KEY, groups=GROUPS, replicates=400, resample="image"
    )["rates"].change.std_error
    assert np.median(by_patient / by_image) > 1.6


def test_means_gaps_and_undefined_values():
    rng = np.random.default_rng(6)
    who = np.arange(60)
    group = np.arange(60) % 3
    before, after = rng.uniform(0.4, 0.9, (2, 60))
    after[5] = np.nan
    group[7] = -1
    result = bootstrap_means(before, after, group, who, KEY, groups=3, replicates=200)
    known = np.isfinite(after)
    mean = np.array([after[known & (group == g)].mean() for g in range(3)])
    np.testing.assert_allclose(result["mean"].reconstructed.value, mean, atol=1e-6)
    assert result["delta"].reconstructed.value == pytest.approx(np.ptp(mean), abs=1e-6)
    assert result["ser"].reconstructed.value == pytest.approx(
        (1 - mean).max() / (1 - mean).min(), abs=1e-5
    )
    assert result["overall"].change.value == pytest.approx((after - before)[known].mean(), abs=1e-6)
    assert (
        result["overall"].change.ci_low
        < result["overall"].change.value
        < result["overall"].change.ci_high
    )


def test_a_group_that_does_not_exist_is_undefined_not_zero():
    o, r, y, g, who = draw(7)
    result = bootstrap_decisions(o, r, y, g, who, KEY, groups=GROUPS + 1, replicates=50)
    assert np.isnan(result["rates"].change.value[:, GROUPS]).all()
    assert np.isnan(result["rates"].change.ci_low[:, GROUPS]).all()
    assert np.isfinite(result["eodd"].change.ci_low)
    alone = bootstrap_decisions(o, r, y, np.zeros_like(g), who, KEY, groups=GROUPS, replicates=50)
    assert np.isnan(alone["eodd"].change.value)
    assert np.isnan(alone["eodd"].p_two_sided)


def test_p_values_count_replicates():
    drawn = jnp.array([[-1.0], [0.5], [1.0], [2.0]])
    result = summarise(
        (jnp.zeros(1), jnp.ones(1)), (jnp.zeros((4, 1)), drawn), None, 0.05, "percentile"
    )
    assert float(result.p_one_tailed[0]) == 0.25
    assert float(result.p_two_sided[0]) == pytest.approx(min(1, 2 * 2 / 5))


def test_quantiles_skip_undefined_replicates():
    values = np.random.default_rng(0).normal(size=(21, 2))
    values[::2, 1] = np.nan
    result = quantile(np.sort(values.T), np.array([0.3, 0.3]), np.array([21, 10]))
    np.testing.assert_allclose(result, np.nanquantile(values, 0.3, axis=0), atol=1e-12)
    assert np.isnan(quantile(np.full((1, 3), np.nan), np.array([0.5]), np.array([0])))


def test_an_interval_needs_half_of_the_replicates():
    drawn = np.array([[1.0, 1.0], [2.0, np.nan], [3.0, np.inf], [4.0, np.nan]])
    result = estimate(np.array([2.5, 1.0]), drawn, None, 0.5, "percentile")
    np.testing.assert_allclose(result.std_error, [drawn[:, 0].std(ddof=1), np.nan])
    np.testing.assert_allclose(result.ci_low, [1.75, np.nan])


def test_the_bias_correction_lowers_the_interval_of_a_maximum():
    drawn = np.abs(
        np.random.default_rng(1).normal(0.02, 0.05, (4000, 1))
    )  # a gap whose replicates are mostly larger than observed
    result = estimate(np.array([0.02]), drawn, None, 0.05, "bca")
    assert result.ci_low[0] < 0.02 < result.ci_high[0]
    assert result.ci_low[0] <= np.quantile(drawn, 0.025)


def test_acceleration_of_a_symmetric_sample_is_zero():
    values = jnp.array([1.0, 2.0, 3.0])
    assert abs(float(jackknife_moments((values, values), jnp.ones(3))[0])) < 1e-6
    assert float(jackknife_moments((values, values), jnp.ones(3))[2]) == 0


def test_gap_statistics_of_sums_by_hand():
    sums = np.random.default_rng(0).integers(1, 9, (2, GROUPS, 3)).astype(float)
    statistics = bootstrap.decision_statistics(jnp.asarray(sums))
    for version, rate in (("original", sums[..., 1]), ("reconstructed", sums[..., 2])):
        rate = rate / sums[..., 0]
        assert float(getattr(statistics["eodd"], version)) == pytest.approx(np.ptp(rate, 1).max())
        assert float(getattr(statistics["eop"], version)) == pytest.approx(np.ptp(rate[1]))


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("replicates", 1, "at least 2"),
        ("alpha", 0.0, "alpha"),
        ("resample", "slice", "'patient' or 'image'"),
        ("method", "t", "'bca'"),
    ],
)
def test_refusals(option, value, text):
    with pytest.raises(ValueError, match=text):
        bootstrap_decisions(*draw(), KEY, groups=GROUPS, **{option: value})
