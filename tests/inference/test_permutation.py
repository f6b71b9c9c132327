"""The permutation null: reference values, every permutation of a small cohort, what may not matter,
patients kept together, edge cohorts.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import permutation_test

from experiments.calibration.gap_nulls import DESIGNS, rejections
from fairrecon_jax.inference.exchange import strata_of
from fairrecon_jax.inference.permutation import (
    PermutationNull,
    permutation_null,
    permutation_null_means,
)
from tests.support.golden_sample import THRESHOLD, sample

PATIENTS, GROUPS = 30, 3
TURN = np.array([2, 0, 1])
OPTIONS = dict(groups=GROUPS, permutations=50)


def draw(seed=0):
    """Two images of each patient; decisions, values in [0, 1], truth, groups and names."""
    r = np.random.default_rng(seed)
    who = np.repeat(np.arange(PATIENTS), 2)
    group, label = (np.arange(PATIENTS) % GROUPS)[who], (np.arange(2 * PATIENTS) % 2).astype(float)
    values = np.clip(0.3 + 0.3 * label + r.normal(0, 0.25, (2, len(who))), 0.01, 0.99)
    names = np.array([f"p{w:03d}" for w in who])
    return (values >= 0.45).astype(float), values, label, group, names


def assert_same(one, other, **tolerance):
    """The same nulls by name."""
    assert set(one) == set(other)
    for name in one:
        for a, b in zip(one[name], other[name]):
            np.testing.assert_allclose(a, b, **{"rtol": 1e-10, "atol": 1e-12, **tolerance})


@pytest.mark.parametrize(("name", "null"), [("sex", 0.063), ("race", 0.196)])
def test_reference_floor(name, null):
    sex, race, y, s, _ = sample()
    group, decision = {"sex": sex, "race": race}[name], (s >= THRESHOLD).astype(float)
    actual = permutation_null(decision, y, group, np.arange(400), 0, groups=3, permutations=2000)
    # the reference is itself a mean over permutations, to two digits
    assert actual["eodd"].mean == pytest.approx(null, abs=0.012)
    expected = {"sex": 0.057591093117, "race": 0.323529411765}[name]
    assert actual["eodd"].observed == pytest.approx(expected, abs=1e-12)
    assert actual["eodd"].upper > actual["eodd"].mean


def test_every_permutation_of_seven_patients():
    """Means of 3 and 4 patients; each of the 35 assignments is as likely as any other."""
    value = np.array([0.1, 0.2, 0.35, 0.5, 0.62, 0.7, 0.95])
    group = np.array([1, 1, 1, 0, 1, 0, 0])
    gaps = []
    for chosen in combinations(range(7), 3):
        first = np.isin(np.arange(7), chosen)
        gaps.append(abs(value[first].mean() - value[~first].mean()))
    null = permutation_null_means(value, group, np.arange(7), 1, groups=2, permutations=20_000)
    actual = null["delta"]
    assert actual.mean == pytest.approx(np.mean(gaps), rel=0.01)
    assert actual.upper == pytest.approx(np.quantile(gaps, 0.95, method="inverted_cdf"), abs=0.03)
    assert actual.observed == pytest.approx(0.7166667 - 0.3175, abs=1e-6)
    ratios = 1 - np.array([[value[group == g].mean() for g in (0, 1)]])
    assert null["ser"].observed == pytest.approx((ratios.max() / ratios.min()), rel=1e-12)
    assert null["ser"].p_value == actual.p_value


def test_p_is_that_of_scipys_permutation_test_in_equal_groups():
    value, group = np.random.default_rng(10).random(24), np.arange(24) % 2
    value += 0.35 * group
    actual = permutation_null_means(value, group, np.arange(24), 0, groups=2, permutations=4000)
    sides = [value[group == g] for g in (0, 1)]
    exact = permutation_test(
        sides,
        lambda a, b: abs(a.mean() - b.mean()),
        n_resamples=20_000,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    assert actual["delta"].p_value == pytest.approx(exact.pvalue, abs=0.015)
    assert actual["delta"].mean == pytest.approx(exact.null_distribution.mean(), rel=0.05)


def test_floor_matches_permuting_by_hand():
    rng = np.random.default_rng(1)
    decision, group = rng.integers(0, 2, 90).astype(float), np.arange(90) % 3
    options = dict(groups=3, permutations=2000)
    actual = permutation_null(decision, np.ones(90), group, np.arange(90), 0, **options)["eop"]
    by_hand = []
    for _ in range(2000):
        shuffled = rng.permutation(group)
        rates = [decision[shuffled == g].mean() for g in range(3)]
        by_hand.append(max(rates) - min(rates))
    assert actual.mean == pytest.approx(np.mean(by_hand), rel=0.05)
    assert actual.upper == pytest.approx(np.quantile(by_hand, 0.95), abs=0.035)


def test_clusters_raise_the_floor():
    rng = np.random.default_rng(2)
    decision = np.repeat(rng.integers(0, 2, 60), 6).astype(float)
    patient = np.repeat(np.arange(60), 6)
    together, apart = (
        permutation_null(decision, np.ones(360), patient % 2, who, 0, groups=2, permutations=300)[
            "eop"
        ]
        for who in (patient, np.arange(360))
    )
    assert together.mean > 1.8 * apart.mean
    assert together.p_value > apart.p_value


def test_a_true_gap_has_a_small_p_and_no_gap_does_not():
    group, rng = np.arange(200) % 2, np.random.default_rng(3)
    real = (rng.random(200) < 0.3 + 0.4 * group).astype(float)
    none = (rng.random(200) < 0.5).astype(float)
    actual = permutation_null(
        np.stack([real, none]), np.ones(200), group, np.arange(200), 0, groups=2, permutations=500
    )
    assert actual["eop"].p_value[0] < 0.01
    assert actual["eop"].p_value[1] > 0.05
    assert actual["eop"].mean.shape == (2,)
    assert np.isnan(actual["eodd_mean"].p_value).all()  # nobody is negative
    np.testing.assert_array_equal(actual["eodd"].p_value, actual["eop"].p_value)


def both_nulls(rows, group, seed=0, **changed):
    """Nulls of decisions and of values of chosen rows."""
    decision, value, label, _, patient = draw(8)
    options = {**OPTIONS, **changed}
    decisions = permutation_null(
        decision[0, rows], label[rows], group[rows], patient[rows], seed, **options
    )
    means = permutation_null_means(value[0, rows], group[rows], patient[rows], seed, **options)
    return {**decisions, **means}


def test_floors_ignore_order_names_copies_and_unknown_groups():
    group, everything = draw(8)[3], np.arange(2 * PATIENTS)
    plain = both_nulls(everything, group)
    assert_same(plain, both_nulls(np.random.default_rng(0).permutation(everything), group))
    assert_same(plain, both_nulls(everything, TURN[group]))
    assert_same(plain, both_nulls(np.repeat(everything, 3), group))
    assert_same(plain, both_nulls(everything, group, groups=GROUPS + 2))
    unknown = np.where(everything < 10, -1, group)
    assert_same(both_nulls(everything, unknown), both_nulls(everything[10:], group))
    for null in plain.values():
        assert null.mean <= null.upper
        assert 1 / 51 <= null.p_value <= 1


def test_seeds_and_attributes_give_other_draws():
    group, everything = draw(8)[3], np.arange(2 * PATIENTS)
    plain = both_nulls(everything, group)
    assert_same(plain, both_nulls(everything, group))
    for changed in ({"seed": 1}, {"attribute": "age"}):
        other = both_nulls(everything, group, **changed)
        assert other["delta"].mean != plain["delta"].mean
        assert other["delta"].observed == plain["delta"].observed


def test_batches_equal_loops_and_one_label_is_equal_opportunity():
    decision, value, label, group, patient = draw(9)
    decision[1, :7] = value[1, :7] = np.nan
    plain = permutation_null(decision, label, group, patient, 0, **OPTIONS)
    means = permutation_null_means(value, group, patient, 0, **OPTIONS)
    for k in (0, 1):
        one = permutation_null(decision[k], label, group, patient, 0, **OPTIONS)
        assert_same({n: PermutationNull(*(f[k] for f in v)) for n, v in plain.items()}, one)
        one = permutation_null_means(value[k], group, patient, 0, **OPTIONS)
        assert_same({n: PermutationNull(*(f[k] for f in v)) for n, v in means.items()}, one)
    positives = permutation_null(decision, label, group, patient, 0, labels=(1,), **OPTIONS)
    np.testing.assert_allclose(positives["eodd"].observed, plain["eop"].observed)
    np.testing.assert_array_equal(positives["eodd"], positives["eop"])


def test_undefined_where_a_single_group_is_known():
    actual = permutation_null(
        np.ones(4), np.ones(4), np.zeros(4, int), np.arange(4), 0, groups=2, permutations=20
    )
    assert all(np.isnan(field) for field in actual["eodd"])
    nothing = permutation_null_means(
        np.full(4, np.nan), np.arange(4) % 2, np.arange(4), 0, groups=2, permutations=20
    )
    assert all(np.isnan(field) for field in nothing["delta"])


def test_a_constant_has_no_gap_by_chance_and_a_perfect_group_keeps_its_p():
    _, _, _, group, patient = draw()
    flat = permutation_null_means(np.full(len(group), 0.5), group, patient, 0, **OPTIONS)
    for null, none in ((flat["delta"], 0), (flat["ser"], 1)):
        assert null.upper == pytest.approx(none, abs=1e-12)
        assert null.p_value == 1
    value = np.where(group == 0, 1.0, 0.6)
    perfect = permutation_null_means(value, group, patient, 0, **OPTIONS)
    assert np.isinf(perfect["ser"].observed)
    assert np.isfinite(perfect["ser"].mean)
    assert perfect["ser"].p_value == perfect["delta"].p_value == pytest.approx(1 / 51)


def test_the_null_of_estimable_strata_is_that_of_their_groups_alone():
    """Two groups of 60 and one of 4 that takes no part."""
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1, 2], [60, 60, 4])
    decision, label = rng.integers(0, 2, (2, 124)).astype(float)
    mask, options = np.arange(3) < 2, dict(groups=3, permutations=400)
    two = np.stack([mask, mask])
    arguments = (decision, label, group, np.arange(124), 0)
    actual = permutation_null(*arguments, mask=two, **options)
    alone = permutation_null(*(a[:120] for a in arguments[:4]), 0, **options)
    assert actual["eodd_estimable"].mean < actual["eodd"].mean
    for name in ("eodd", "eop"):
        assert_same({name: actual[f"{name}_estimable"]}, {name: alone[name]})
    whole = permutation_null(*arguments, mask=np.ones((2, 3), bool), **options)
    np.testing.assert_array_equal(whole["eodd_estimable"], whole["eodd"])
    first = (decision, group, np.arange(124), 0)
    means = permutation_null_means(*first, mask=mask, **options)
    assert means["delta_estimable"].mean < means["delta"].mean
    nothing = permutation_null_means(*first, mask=np.zeros(3, bool), **options)
    assert np.isnan(nothing["ser_estimable"].mean)


def test_groups_are_permuted_among_alike_patients_where_these_overlap():
    group, judged = np.arange(40) % 2, np.ones((1, 2, 2), bool)
    images = np.zeros((40, 1, 2))
    images[:20, 0, 1], images[20:, 0] = 1, 3
    strata = strata_of(images, group, judged)[:, 0, 1]
    assert len(set(strata[:20])) == len(set(strata[20:])) == 1
    assert strata[0] != strata[20]
    apart = strata_of(images, (np.arange(40) < 20).astype(int), judged)[:, 0, 1]
    assert not apart.any()  # nobody could be exchanged within a pattern or a size
    few = strata_of(images, group, judged & (np.arange(2) == 0))
    assert np.all(few >= 0)


SIZES = {
    "prevalence .30 / .05": 0.09,
    "8 / 1 images": 0.09,
    "mean, spread 1 / 3, 200 / 20": 0.09,
    "equal, 150 / 150": 0.09,
}


@pytest.mark.parametrize("design", [d for d in DESIGNS if d.name in SIZES], ids=lambda d: d.name)
def test_groups_that_are_equally_well_off_are_rarely_told_apart(design):
    # Nominal .05, 400 cohorts, standard error .011; permuted raw gaps reject .25 to .43.
    for share in rejections(design, 400).values():
        assert share < SIZES[design.name]


def test_a_harmed_group_is_found():
    design = next(d for d in DESIGNS if d.name == "mean, harm, 150 / 150")
    assert rejections(design, 100)["delta"] > 0.7


def test_refusals():
    decision, value, label, group, patient = draw()
    for call in (
        lambda g, n=5: permutation_null(
            decision[0], label, g, patient, 0, groups=GROUPS, permutations=n
        ),
        lambda g, n=5: permutation_null_means(
            value[0], g, patient, 0, groups=GROUPS, permutations=n
        ),
    ):
        with pytest.raises(
            ValueError, match=r"vector with one entry per image, got shape \(1, 60\)"
        ):
            call(group[None])
        with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
            call(group, 0)
        with pytest.raises(
            ValueError, match="no image has a known group; there is nothing to permute"
        ):
            call(np.full_like(group, GROUPS))
    with pytest.raises(ValueError, match=r"the last axis must hold 60 images, got shape \(59,\)"):
        permutation_null_means(value[0, :-1], group, patient, 0, groups=GROUPS)
