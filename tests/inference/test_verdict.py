"""Verdicts, minimum detectable change and equivalence on results whose answer is known."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.inference.did import did_test, did_test_continuous
from fairrecon_jax.inference.power import equivalent, minimum_detectable_change
from fairrecon_jax.inference.verdict import VERDICTS, judge, latent_alike, select

KEY = jax.random.key(11)
NAMES = ("women", "men")
SIZE = 800


def cohort(before, after, sizes=(SIZE, SIZE)):
    """One image a patient; half positive. `before`, `after`: sensitivity per group; exact counts,
    decisions turned one way only.
    """
    o, r, y, g = [], [], [], []
    for group, size in enumerate(sizes):
        half = size // 2
        rank = np.random.default_rng(group).permutation(half) / half
        for label in (0, 1):
            rate = (0.2, 0.2) if label == 0 else (before[group], after[group])
            o.append(rank < rate[0])
            r.append(rank < rate[1])
            y.append(np.full(half, label))
            g.append(np.full(half, group))
    o, r, y, g = (np.concatenate(a).astype(float) for a in (o, r, y, g))
    for group in range(len(sizes)):  # a little noise among the negatives that moves no rate
        for decision in (0, 1):
            some = np.flatnonzero((y == 0) & (g == group) & (o == decision))[:8]
            r[some] = 1 - r[some]
    return o, r, y, g.astype(int), np.arange(len(o))


def verdict(before, after, **options):
    return judge(did_test(*cohort(before, after), KEY, groups=2, flips=999), NAMES, **options)


@pytest.mark.parametrize(
    ("before", "after", "expected", "group", "direction"),
    [
        ((0.8, 0.8), (0.8, 0.6), "widened", "men", "down"),
        ((0.8, 0.6), (0.6, 0.6), "narrowed", "women", "down"),
        ((0.85, 0.65), (0.6, 0.75), "reversed", "women", "down"),
        ((0.8, 0.8), (0.7, 0.7), "within chance", "", ""),
    ],
)
def test_known_answers(before, after, expected, group, direction):
    actual = verdict(before, after)
    assert actual.verdict == expected
    assert (actual.group, actual.direction) == (group, direction)
    if group:
        assert actual.label == "sensitivity"
        assert "sensitivity of" in actual.reason
        assert "largest gap" in actual.reason


@pytest.mark.parametrize("sizes", [(SIZE, SIZE // 4), (SIZE // 4, SIZE)])
def test_of_two_groups_that_both_lose_the_one_that_lost_more_is_named(sizes):
    """Whichever is the noisier."""
    result = did_test(*cohort((0.95, 0.95), (0.3, 0.65), sizes), KEY, groups=2, flips=999)
    actual = judge(result, NAMES)
    assert (actual.verdict, actual.group, actual.direction) == ("widened", "women", "down")


def test_shifted_where_rates_move_inside_the_largest_gap():
    o, r, y, g, _ = cohort((0.9, 0.3), (0.9, 0.3))
    extra = cohort((0.6, 0.6), (0.6, 0.75))
    keep = extra[3] == 1
    joined = [np.concatenate([a, b[keep]]) for a, b in zip((o, r, y), extra[:3])]
    group = np.concatenate([g, np.full(keep.sum(), 2)])
    result = did_test(*joined, group, np.arange(len(group)), KEY, groups=3, flips=999)
    actual = judge(result, ("a", "b", "c"))
    assert actual.verdict == "shifted"
    assert actual.group == "c"
    assert actual.direction == "up"


def test_not_estimable_and_unjudged_strata_are_named():
    o, r, y, g, who = cohort((0.8, 0.8), (0.8, 0.6), sizes=(SIZE, 20))
    actual = judge(did_test(o, r, y, g, who, KEY, groups=2, flips=199), NAMES)
    assert actual.verdict == "not estimable"
    assert any(text.startswith("men: sensitivity: too few patients") for text in actual.unjudged)
    assert len(actual.unjudged) == 4


def test_at_chance_and_adjusted_p():
    assert verdict((0.8, 0.8), (0.8, 0.6), auroc_interval=(0.48, 0.55)).verdict == "at chance"
    assert verdict((0.8, 0.8), (0.8, 0.6), auroc_interval=(0.51, 0.55)).verdict == "widened"
    kept = verdict((0.8, 0.8), (0.8, 0.6), p_adjusted=0.2, detectable=0.07)
    assert kept.verdict == "within chance"
    assert "0.070" in kept.reason
    assert verdict((0.8, 0.8), (0.8, 0.6), p_adjusted=float("nan")).verdict == "within chance"
    assert {
        "widened",
        "narrowed",
        "reversed",
        "shifted",
        "within chance",
        "not estimable",
        "at chance",
    } == set(VERDICTS)


def test_names_must_fit():
    with pytest.raises(ValueError, match="2 x 3 names"):
        judge(did_test(*cohort((0.8, 0.8), (0.8, 0.6)), KEY, groups=2, flips=199), ("a", "b", "c"))


def test_a_common_latent_loss_is_recognised():
    from scipy.stats import norm

    before = (0.95, 0.6)
    after = tuple(norm.cdf(norm.ppf(np.array(before)) - 0.6))
    result = did_test(*cohort(before, after, (4000, 4000)), KEY, groups=2, flips=199)
    assert result.p_value < 0.05
    assert latent_alike(result)
    assert "probit scale" in judge(result, NAMES).reason
    assert not latent_alike(did_test(*cohort((0.8, 0.8), (0.8, 0.6)), KEY, groups=2, flips=199))


def test_continuous_verdict_and_selection_from_a_batch():
    rng = np.random.default_rng(0)
    group = np.arange(400) % 2
    loss = np.stack([0.1 * group, 0 * group]) + rng.normal(0, 0.05, (2, 400))
    before = np.full(400, 0.8)
    result = did_test_continuous(
        before, before - loss, group, np.arange(400), KEY, groups=2, flips=199
    )
    assert result.p_value.shape == (2,)
    options = dict(quantities=("Dice",), is_rate=False)
    assert judge(select(result, (0,)), NAMES, **options).verdict == "widened"
    assert judge(select(result, (1,)), NAMES, **options).verdict == "within chance"


def test_detectable_change_is_found_four_times_in_five():
    rng = np.random.default_rng(1)
    size, cohorts = 600, 200
    group = np.arange(size) % 2
    label = np.ones((cohorts, size))
    original = (rng.random((cohorts, size)) < 0.7).astype(float)
    null = np.where(rng.random((cohorts, size)) < 0.1, 1 - original, original)
    result = did_test(
        original, null, label, group, np.arange(size), KEY, groups=2, flips=199, labels=(1,)
    )
    change = float(np.median(minimum_detectable_change(result).stratum[:, 0, 1]))
    lost = (rng.random((cohorts, size)) < change / 0.66) & (group == 1) & (null == 1)
    harmed = did_test(
        original,
        np.where(lost, 0.0, null),
        label,
        group,
        np.arange(size),
        KEY,
        groups=2,
        flips=199,
        labels=(1,),
    )
    assert 0.65 < np.mean(harmed.p_value <= 0.05) < 0.93


def test_detectable_change_shrinks_with_size_and_keeps_the_shape():
    small, large = (
        did_test(*cohort((0.8, 0.7), (0.8, 0.7), (n, n)), KEY, groups=2, flips=199)
        for n in (100, 2000)
    )
    few, many = minimum_detectable_change(small), minimum_detectable_change(large)
    assert np.all(many.stratum < few.stratum)
    assert many.smallest <= many.largest
    assert many.stratum.shape == (2, 2)
    assert np.all(minimum_detectable_change(large, power=0.9).stratum > many.stratum)
    empty = did_test(*cohort((0.8, 0.7), (0.8, 0.7), (100, 10)), KEY, groups=2, flips=199)
    assert np.isnan(minimum_detectable_change(empty).largest)
    with pytest.raises(ValueError, match="power"):
        minimum_detectable_change(large, power=0.3)


def test_equivalence():
    same = did_test(*cohort((0.8, 0.8), (0.79, 0.79), (4000, 4000)), KEY, groups=2, flips=199)
    assert equivalent(same)
    assert not equivalent(same, margin=0.001)
    small = did_test(*cohort((0.8, 0.8), (0.79, 0.79), (100, 100)), KEY, groups=2, flips=199)
    assert not equivalent(small, margin=0.02)
    missing = did_test(*cohort((0.8, 0.8), (0.79, 0.79), (4000, 20)), KEY, groups=2, flips=199)
    assert not equivalent(missing)
    with pytest.raises(ValueError, match="positive"):
        equivalent(same, margin=0)
