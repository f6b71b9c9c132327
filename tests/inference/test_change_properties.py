"""The tests of change: outside oracles on small cohorts, copies, complements, masks, scales, and
cohorts at the edge.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from scipy.stats import mannwhitneyu, norm, permutation_test, ttest_ind
from sklearn.metrics import roc_auc_score

from fairrecon_jax import metrics
from fairrecon_jax.inference import counts, did_result
from fairrecon_jax.inference.delong import auroc, delong_change, paired_influences
from fairrecon_jax.inference.did import did_test, did_test_auroc, did_test_continuous
from fairrecon_jax.inference.did_result import REASONS
from fairrecon_jax.inference.published import published_summary, published_test
from tests.support.decisions_fake import simulate

KEY = jax.random.key(17)
OPTIONS = dict(groups=2, flips=999, min_patients=5)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def cohort(seed=0, harm=0.3):
    return simulate(seed, patients=60, images=2, groups=2, prevalence=0.5, harm=harm)


def scores(seed=0):
    """Two scores, labels, groups and names of 60 patients of two images."""
    r = np.random.default_rng(seed)
    label, group = np.arange(120) % 2 * 1.0, np.arange(120) // 2 % 2
    first = label + r.normal(0, 1, 120)
    return (
        np.round(first, 1),
        np.round(first + r.normal(0, 0.7, 120) * (1 + group), 1),
        label,
        group,
        np.arange(120) // 2,
    )


def assert_fields(first, second, names, **tolerance):
    for name in names:
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), err_msg=name, **tolerance
        )


TEST = (
    "statistic",
    "p_value",
    "deviation",
    "variance",
    "ci_low",
    "ci_high",
    "stratum_p",
    "overall_p",
)


def test_every_image_twice_is_the_same_test():
    data = cohort()
    plain, doubled = (
        did_test(*data, KEY, **OPTIONS),
        did_test(*(np.repeat(a, 2) for a in data), KEY, **OPTIONS),
    )
    assert_fields(
        plain, doubled, (*TEST, "n_patients", "n_effective", "rate_original", "reason"), rtol=1e-8
    )
    np.testing.assert_array_equal(doubled.n_images, 2 * plain.n_images)
    np.testing.assert_array_equal(doubled.n_changed, 2 * plain.n_changed)


def test_counting_noes_instead_of_yeses_turns_the_sign_only():
    o, r, *rest = cohort(1)
    yes, no = did_test(o, r, *rest, KEY, **OPTIONS), did_test(1 - o, 1 - r, *rest, KEY, **OPTIONS)
    assert_fields(
        yes, no, ("statistic", "p_value", "variance", "stratum_p", "overall_p"), rtol=1e-8
    )
    np.testing.assert_allclose(no.change, -yes.change, atol=1e-12)
    np.testing.assert_allclose(no.overall_high, -yes.overall_low, atol=1e-12)
    np.testing.assert_allclose(no.probit_change, -yes.probit_change, atol=1e-10)


def test_an_unknown_image_is_an_absent_image():
    data = cohort(2)
    second = np.flatnonzero(np.append(data[4][1:] == data[4][:-1], False))[
        :6
    ]  # the patient has another image
    gone = np.isin(np.arange(len(data[0])), second)
    absent = did_test(*(a[~gone] for a in data), KEY, **OPTIONS)
    for column in (0, 1, 2):
        holes = [np.where(gone, np.nan, a) if i == column else a for i, a in enumerate(data)]
        for name, a, b in zip(absent._fields, absent, did_test(*holes, KEY, **OPTIONS)):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=name)


def test_one_group_alone_leaves_the_overall_test():
    o, r, y, g, patient = cohort(4)
    actual = did_test(o, r, y, np.zeros_like(g), patient, KEY, **OPTIONS)
    assert np.isnan(actual.p_value)
    assert [REASONS[code].split()[1] for code in actual.reason.ravel()] == ["second", "images"] * 2
    both = did_test(o, r, y, g, patient, KEY, **OPTIONS)
    assert_fields(
        actual, both, ("overall_p", "overall_low", "overall_high", "overall_change"), rtol=1e-10
    )


@pytest.mark.parametrize("column", [0, 1, 2, 3])
def test_nothing_known_is_nothing_tested(column):
    data = [
        np.full(a.shape, -1 if i == 3 else np.nan) if i == column else a
        for i, a in enumerate(cohort())
    ]
    data[3] = data[3].astype(int)
    actual = did_test(*data, KEY, **OPTIONS)
    assert actual.statistic == 0
    assert np.isnan(actual.p_value)
    assert np.isnan(
        [
            actual.change,
            actual.deviation,
            actual.rate_original,
            actual.probit_change,
            actual.ci_low,
            actual.stratum_p,
        ]
    ).all()
    assert (actual.reason == REASONS.index("no images")).all()
    assert np.isnan(actual.overall_p) != (column == 3)  # unknown groups still count for everyone


def test_two_groups_of_one_size_give_welchs_statistic():
    """T = t^2 n / (n - 1): shrinkage moves variance between groups of one size and adds none."""
    r = np.random.default_rng(5)
    n, group = 30, np.arange(60) % 2
    change = r.normal(0.2 * group, 0.5 + group)
    actual = did_test_continuous(np.zeros(60), change, group, np.arange(60), KEY, **OPTIONS)
    welch = ttest_ind(change[group == 0], change[group == 1], equal_var=False)
    assert float(actual.statistic) == pytest.approx(welch.statistic**2 * n / (n - 1), rel=1e-10)
    assert float(actual.p_value) == pytest.approx(welch.pvalue, abs=0.05)


def test_overall_p_is_that_of_scipys_sign_flips():
    change = np.random.default_rng(6).normal(0.5, 1, 10)
    value = np.pad(change, (0, 50), constant_values=np.nan)  # ten patients are known
    actual = did_test_continuous(
        np.zeros(60), value, np.zeros(60, int), np.arange(60), KEY, **OPTIONS
    )
    options = dict(permutation_type="samples", alternative="greater", n_resamples=np.inf)
    exact = permutation_test((change,), lambda x, axis=-1: np.abs(np.mean(x, axis)), **options)
    assert float(actual.overall_p) == pytest.approx(exact.pvalue, abs=0.04)
    np.testing.assert_allclose(actual.overall_change, change.mean())


def test_a_common_shift_moves_the_change_and_no_difference():
    o, r, _, g, patient = scores()
    plain = did_test_continuous(o, r, g, patient, KEY, **OPTIONS)
    raised = did_test_continuous(o, r + 5, g, patient, KEY, **OPTIONS)
    assert_fields(
        plain,
        raised,
        ("statistic", "p_value", "deviation", "ci_low", "stratum_p"),
        rtol=1e-6,
        atol=1e-8,
    )
    np.testing.assert_allclose(raised.change, plain.change + 5, atol=1e-10)
    both = did_test_continuous(o + 5, r + 5, g, patient, KEY, **OPTIONS)
    assert_fields(plain, both, (*TEST, "change"), rtol=1e-8, atol=1e-10)


def test_auroc_changes_know_ranks_only():
    o, r, y, g, patient = scores(1)
    plain = did_test_auroc(o, r, y, g, patient, KEY, **OPTIONS)
    scaled = did_test_auroc(np.exp(o), r**3, y, g, patient, KEY, **OPTIONS)
    turned = did_test_auroc(-o, -r, 1 - y, g, patient, KEY, **OPTIONS)
    for other in (scaled, turned):
        assert_fields(
            plain, other, (*TEST, "rate_original", "rate_reconstructed"), rtol=1e-8, atol=1e-10
        )
    for group in (0, 1):
        np.testing.assert_allclose(
            plain.rate_original[0, group], roc_auc_score(y[g == group], o[g == group]), atol=1e-12
        )
    assert plain.n_changed.tolist() == [[(o != r)[g == group].sum() for group in (0, 1)]]


@pytest.mark.parametrize("function", [did_test_continuous, did_test_auroc])
def test_options_are_checked_alike(function):
    o, r, y, g, patient = scores(2)
    rest = (g, patient) if function is did_test_continuous else (y, g, patient)
    with pytest.raises(
        ValueError, match=r"flips = 18 cannot reach a p-value of 0.05; use at least 19"
    ):
        function(o, r, *rest, KEY, groups=2, flips=18)
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\), got 0"):
        function(o, r, *rest, KEY, groups=2, flips=19, alpha=0)
    with pytest.raises(ValueError, match=r"the last axis must hold 120 images, got shape \(119,\)"):
        function(o[1:], r, *rest, KEY, **OPTIONS)


def test_probit_changes_are_antisymmetric_and_clipped_half_an_image_inside():
    before, after = np.random.default_rng(3).uniform(0.1, 0.9, (2, 5))
    forward = did_result.probit_change(before, after, np.full(5, 100))
    np.testing.assert_allclose(forward, norm.ppf(after) - norm.ppf(before), rtol=1e-12)
    np.testing.assert_allclose(
        did_result.probit_change(after, before, np.full(5, 100)), -forward, rtol=1e-12
    )
    assert did_result.probit_change(np.array(0.5), np.array(1.0), np.array(4)) == pytest.approx(
        norm.ppf(1 - 1 / 8)
    )


def test_influences_are_the_gradient_of_the_weighted_auroc():
    o, r, y, g, _ = scores(4)
    mask = g == 1
    before, after, influence = paired_influences(o, r, y, mask)
    slope = jax.jit(jax.grad(lambda w: metrics.auroc(r, y, w) - metrics.auroc(o, y, w)))(
        jnp.asarray(mask, float)
    )
    np.testing.assert_allclose(influence[mask], slope[mask], atol=1e-12)
    np.testing.assert_allclose(
        [before, after], [roc_auc_score(y[mask], s[mask]) for s in (o, r)], atol=1e-12
    )


def test_delong_symmetries_and_oracles():
    o, r, y, _, _ = scores(5)
    everyone = np.ones(120, bool)
    plain, swapped, turned = (
        delong_change(o, r, y, everyone),
        delong_change(r, o, y, everyone),
        delong_change(-o, -r, 1 - y, everyone),
    )
    np.testing.assert_allclose(swapped.change, -plain.change, atol=1e-12)
    np.testing.assert_allclose(swapped.covariance, plain.covariance[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose([swapped.std_error, turned.std_error], plain.std_error, rtol=1e-10)
    assert np.linalg.eigvalsh(plain.covariance).min() > 0
    assert float(delong_change(o, 2 * o + 1, y, everyone).std_error) == 0
    u = mannwhitneyu(r[y == 1], r[y == 0]).statistic
    np.testing.assert_allclose(plain.reconstructed, u / 3600, atol=1e-12)
    order = np.random.default_rng(0).permutation(120)
    np.testing.assert_allclose(
        delong_change(o[order], r[order], y[order], everyone).covariance,
        plain.covariance,
        atol=1e-12,
    )
    size = delong_change._cache_size()
    delong_change(r, 3 * o, y, ~everyone)
    assert delong_change._cache_size() == size


def test_delong_at_the_edge_of_what_is_defined():
    o, r, y, _, _ = scores(5)
    mask = (y == 0) & (np.arange(120) < 20)
    mask[119] = True  # one positive: an area without a variance
    single = delong_change(np.where(y == 1, 9.0, o), np.where(y == 1, -9.0, r), y, mask)
    assert (float(single.original), float(single.reconstructed), float(single.change)) == (1, 0, -1)
    assert np.isnan(single.std_error)
    assert np.isnan(single.covariance).all()
    batch = np.stack([y, -y, 0 * y])
    label = np.broadcast_to(y, (3, 120))
    np.testing.assert_array_equal(auroc(batch, label, np.ones((3, 120), bool)), [1, 0, 0.5])
    np.testing.assert_array_equal(
        auroc(batch, label, np.arange(3)[:, None] + np.zeros((3, 120)) > 1), [np.nan, np.nan, 0.5]
    )


@pytest.mark.parametrize("form", ["mean", "max"])
def test_published_gaps_agree_with_fairlearn(form):
    o, r, y, g, _ = cohort(6)
    actual = published_test(o, r, y, g, KEY, groups=2, replicates=20, form=form)
    agg = {"mean": "mean", "max": "worst_case"}[form]
    for value, decision in ((actual.original, o), (actual.reconstructed, r)):
        assert float(value) == pytest.approx(
            equalized_odds_difference(y, decision, sensitive_features=g, agg=agg), abs=1e-10
        )


def test_published_numbers_depend_on_counts_and_key_only():
    o, r, y, g, _ = cohort(7)
    options = dict(groups=2, replicates=40)
    plain = published_test(o, r, y, g, KEY, **options)
    order = np.random.default_rng(0).permutation(len(o))
    for again in (
        published_test(o[order], r[order], y[order], g[order], KEY, **options),
        published_test(
            *(np.append(a, [a[0], a[1]]) for a in (o, r)),
            np.append(y, [np.nan, 1]),
            np.append(g, [0, -1]),
            KEY,
            **options,
        ),
    ):
        np.testing.assert_array_equal(np.stack(again), np.stack(plain))
    assert not np.array_equal(
        np.stack(published_test(o, r, y, g, jax.random.key(18), **options)), np.stack(plain)
    )
    still = published_test(o, o, y, g, KEY, **options)
    assert [float(v) for v in still[2:]] == [0, 0, 0, 0, 1, 1]


def test_published_summary_mirrors_versions_and_forgets_group_names():
    r = np.random.default_rng(8)
    table, drawn = (
        jnp.asarray(r.integers(0, 9, (*size, 2, 3, 2, 2)), float) for size in ((4,), (30, 4))
    )
    plain = published_summary(table, drawn)
    renamed = published_summary(table[:, :, ::-1], drawn[:, :, :, ::-1])
    shuffled = published_summary(table, drawn[np.argsort(r.random(30))])
    for other in (renamed, shuffled):
        np.testing.assert_allclose(np.stack(plain), np.stack(other), atol=1e-12)
    before, after, change, error, low, high, one, two = published_summary(
        jnp.swapaxes(table, -1, -2), jnp.swapaxes(drawn, -1, -2)
    )
    np.testing.assert_allclose(
        np.stack([after, before, -change, error, -high, -low, one, two]),
        np.stack(plain),
        atol=1e-12,
    )


def test_published_recipe_refuses_what_it_does_not_know():
    o, r, y, g, _ = cohort()
    with pytest.raises(ValueError, match="form must be 'max' or 'mean', got 'median'"):
        published_test(o, r, y, g, KEY, groups=2, replicates=20, form="median")
    with pytest.raises(
        ValueError, match="replicates = 1; at least 2 are needed, the published code uses 1000"
    ):
        published_test(o, r, y, g, KEY, groups=2, replicates=1)
    with pytest.raises(ValueError, match=rf"the last axis must hold {len(o)} images"):
        published_test(o, r[1:], y, g, KEY, groups=2)


def test_tables_ignore_the_order_of_images_and_patients_the_order_of_rows():
    o, r, y, g, patient = cohort(9)
    order = np.random.default_rng(0).permutation(len(o))
    who, shuffled = counts.index_patients(patient), counts.index_patients(patient[order])
    np.testing.assert_array_equal(shuffled.codes, who.codes[order])
    np.testing.assert_array_equal(shuffled.digest, who.digest)
    tables = [
        counts.patient_counts(
            *(a[None, rows] for a in (o, r, y, g)), codes, patients=who.total, groups=2
        )
        for rows, codes in ((slice(None), who.codes), (order, shuffled.codes))
    ]
    np.testing.assert_array_equal(*tables)
    turned = counts.image_counts(*(a[None] for a in (o, r, y, g)), groups=2, labels=(1, 0))
    np.testing.assert_array_equal(
        turned[:, ::-1], counts.image_counts(*(a[None] for a in (o, r, y, g)), groups=2)
    )


def test_padding_reaches_no_patient():
    value, patient = np.arange(1.0, 7)[None], np.array([0, -1, 1, 1, -1, 2])
    np.testing.assert_array_equal(
        counts.patient_totals(value, patient, patients=4), [[1], [7], [6], [0]]
    )
    mean, present = counts.patient_means(
        value, np.zeros((1, 6), int), patient, patients=4, groups=1
    )
    np.testing.assert_array_equal(mean[:, 0, 0, 0], [1, 3.5, 6, 0])
    np.testing.assert_array_equal(present[:, 0, 0, 0], [1, 1, 1, 0])


def test_alignment_says_which_shape_does_not_fit():
    with pytest.raises(ValueError, match=r"the last axis must hold 4 images, got shape \(\)"):
        counts.align((np.zeros(4), np.float64(1)), 4)
    with pytest.raises(ValueError, match="shape mismatch"):
        counts.align((np.zeros((2, 4)), np.zeros((3, 4))), 4)
    with pytest.raises(ValueError, match=r"one name per image, got shape \(0,\)"):
        counts.index_patients([])
