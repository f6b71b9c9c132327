"""Verdicts on cohorts whose answer is known: who was harmed, what happened to the gap, in which
words.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fairrecon_jax.inference.changes import decision_changes, value_changes
from fairrecon_jax.inference.clustered import change_interval
from fairrecon_jax.inference.comparison import SENSITIVITY, SPECIFICITY, Comparison, Quantity
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_result import one_cell
from fairrecon_jax.inference.mitigation_verdict import MITIGATIONS, judge_mitigation
from fairrecon_jax.inference.verdict import GAPS, VERDICTS, judge, standing_out
from fairrecon_jax.inference.words import amount, p_words

NAMES = ("women", "men", "others")
QUANTITIES = (SPECIFICITY, SENSITIVITY)


def decisions(before, after, sizes):
    """One image a patient, as many without as with the finding; chosen sensitivities, specificity
    .9 throughout. Decisions turn one way only.
    """
    o, r, y, g = [], [], [], []
    for group, size in enumerate(sizes):
        for label in (0, 1):
            rates = (0.1, 0.1) if label == 0 else (before[group], after[group])
            for rate, version in zip(rates, (o, r)):
                version.append(np.arange(size) < round(rate * size))
            y.append(np.full(size, label))
            g.append(np.full(size, group))
    o, r, y, g = (np.concatenate(a).astype(float) for a in (o, r, y, g))
    return o, r, y, g.astype(int), np.arange(len(o))


def comparison(before, after, sizes=(400, 400), names=NAMES):
    return found_comparison(*decisions(before, after, sizes), len(sizes), names)


def found_comparison(o, r, y, g, patient, groups, names=NAMES):
    found = decision_changes(o, r, y, g, patient, groups=groups)
    test = group_test(found.tables, seed=0, permutations=999, counted=found.counted, decisions=True)
    tables, own = found.tables, []
    for g in range(groups):
        rows = tables.group == g
        own.append(change_interval(tables.change[rows], tables.images[rows]))
    low, high = (np.stack([getattr(i, side)[0] for i in own], -1) for side in ("low", "high"))
    rates = (found.original[0], found.reconstructed[0])
    return Comparison(
        one_cell(test, 0), names[:groups], QUANTITIES, *rates, low, high, found.changed[0]
    )


@pytest.mark.parametrize(
    ("before", "after", "word", "group", "gap"),
    [
        ((0.8, 0.8), (0.6, 0.8), "harmed", "women", "widened"),
        ((0.95, 0.85), (0.52, 0.79), "harmed", "women", "reversed"),
        ((0.8, 0.6), (0.6, 0.6), "harmed", "women", "narrowed"),
        ((0.8, 0.75), (0.75, 0.8), "harmed", "women", "same"),
        ((0.6, 0.8), (0.8, 0.8), "favoured", "women", "narrowed"),
        ((0.8, 0.8), (0.7, 0.7), "no difference shown", "", ""),
    ],
)
def test_known_answers(before, after, word, group, gap):
    actual = judge(comparison(before, after))
    assert (actual.word, actual.group, actual.gap) == (word, group, gap)
    assert actual.stratum == ("positive" if group else "")
    assert actual.word in VERDICTS
    assert actual.gap in (*GAPS, "")


def test_harm_to_the_group_that_was_better_off_is_harm():
    """Women 95 -> 52, men 85 -> 79: the largest gap only changed sides."""
    actual = judge(comparison((0.95, 0.85), (0.52, 0.79), (60, 60)))
    assert (actual.word, actual.group) == ("harmed", "women")
    start = "sensitivity: women 95 to 52 of 100, men 85 to 78; women lost 37 points more than men ("
    assert actual.reason.startswith(start)
    assert actual.reason.endswith("p = 0.001")


def test_one_group_among_three():
    lost = judge(comparison((0.8, 0.8, 0.8), (0.8, 0.6, 0.8), (300, 300, 300)))
    assert (lost.word, lost.group) == ("harmed", "men")
    assert "men lost 20 points more than the other groups" in lost.reason
    spared = judge(comparison((0.8, 0.8, 0.8), (0.6, 0.8, 0.6), (300, 300, 300)))
    assert (spared.word, spared.group) == ("favoured", "men")


def test_the_group_with_the_largest_part_in_the_statistic_stands_out():
    """Two labels that agree outweigh one that stands out alone; a missed finding counts twice."""
    found = comparison((0.8, 0.8, 0.8), (0.6, 0.8, 0.8), (300, 300, 300))

    def standing(*deviations, weights=()):
        # no stratum stands out by itself
        alone = np.ones_like(found.test.group_p)
        test = found.test._replace(studentised=np.array(deviations), group_p=alone)
        given = dataclasses.replace(found, test=test, label_weights=weights)
        return standing_out(given)

    assert standing((-1.5, 2.4, 0), (-2.2, 0.5, 0.5)) == ("harmed", 1, 0)
    assert standing((0.0, 2.4, -0.5), (-2.2, 0, 1)) == ("harmed", 1, 0)
    assert standing((0.0, 2.4, -0.5), (-2.2, 0, 1), weights=(1, 1)) == ("favoured", 0, 1)
    assert standing((0.0, -2.4, 2.4), (0, -0.1, 2.5)) == ("favoured", 1, 2)


def with_specificity(before, after, specificity, sizes=(400, 400)):
    """As `comparison`, with specificities [group] = (before, after)."""
    o, r, y, g, patient = decisions(before, after, sizes)
    for group, rates in enumerate(specificity):
        for version, rate in zip((o, r), rates, strict=True):
            rows = np.flatnonzero((g == group) & (y == 0))
            version[rows] = np.arange(len(rows)) >= round(rate * len(rows))
    return found_comparison(o, r, y, g, patient, len(sizes))


def test_a_loss_is_not_hidden_behind_a_larger_gain():
    """A shifted threshold: women gain sensitivity and lose specificity."""
    found = with_specificity((0.6, 0.85), (0.85, 0.85), ((0.9, 0.65), (0.9, 0.9)))
    told = judge(found)
    assert (told.word, told.group, told.stratum) == ("harmed", "women", "negative")
    assert "specificity: women 90 to 65 of 100" in told.reason
    assert (
        "; but sensitivity: women 60 to 85 of 100, men 85 to 85; women gained 25 points more"
        in (told.reason)
    )
    mitigated = judge_mitigation(found, told)
    assert (mitigated.word, mitigated.group) == ("harmed", "women")
    back = judge(with_specificity((0.85, 0.85), (0.6, 0.85), ((0.65, 0.9), (0.9, 0.9))))
    assert (back.word, back.stratum) == ("harmed", "positive")
    assert "; but specificity: women 65 to 90" in back.reason


def test_three_groups_under_a_mitigation():
    """Only a group whose own row stands out is named."""
    known = {
        (0.5, 0.9, 0.9): ("favoured", "men"),  # the worst off untouched
        (0.5, 0.52, 0.9): ("harmed", "men"),  # down to the worst off
        (0.7, 0.4, 0.9): ("harmed", "men"),  # the worst off gained, men paid for it
        (0.8, 0.7, 0.9): ("helped", "women"),
        (0.5, 0.7, 0.7): ("levelled down", "others"),
    }
    for after, (word, group) in known.items():
        found = comparison((0.5, 0.7, 0.9), after, (400, 400, 400))
        told = judge_mitigation(found, judge(found))
        assert (told.word, told.group) == (word, group), after


def test_an_inverted_score_is_said():
    told = judge(comparison((0.8, 0.8), (0.6, 0.8)), auroc_interval=(0.2, 0.31))
    assert told.word == "at chance"
    assert "worse than guessing; are its scores inverted?" in told.reason


def test_changes_of_groups_that_are_not_judged_are_counted_apart():
    found = comparison((0.8, 0.8, 0.8), (0.8, 0.8, 0.2), (300, 300, 5))
    told = judge(found)
    assert told.reason.startswith("no decision changed in the groups that are judged (3 in others)")


def test_many_strata_without_a_verdict_are_counted():
    sizes = (300, 300, 5, 5, 5, 5)
    found = comparison((0.8,) * 6, (0.8,) * 6, sizes, names=tuple("abcdef"))
    assert judge(found).unjudged == ("8 groups and labels: too few patients",)


def test_a_claim_needs_the_adjusted_p():
    both = comparison((0.8, 0.8), (0.6, 0.8))
    kept = judge(both, p_adjusted=0.2, comparisons=36, detectable=0.153)
    assert kept.word == "no difference shown"
    assert kept.reason == (
        "p = 0.001 (0.2 over 36 comparisons); 80 decisions changed; a further change of one group "
        "by 15 points would be found 4 times in 5"
    )
    assert judge(both, p_adjusted=0.05).word == "harmed"
    assert judge(both, p_adjusted=float("nan")).word == "no difference shown"
    assert "no loss could have been found" in judge(both, p_adjusted=1, detectable=np.inf).reason


def test_nothing_changed_is_said():
    same = judge(comparison((0.8, 0.7), (0.8, 0.7)))
    assert (same.word, same.reason) == ("no difference shown", "no decision changed")


def test_a_diagnosis_at_chance_gets_no_verdict():
    both = comparison((0.8, 0.8), (0.6, 0.8))
    chance = judge(both, auroc_interval=(0.45, 0.55))
    assert chance.word == "at chance"
    assert "0.450 to 0.550, includes 0.5" in chance.reason
    assert judge(both, auroc_interval=(0.51, 0.55)).word == "harmed"


def test_too_few_patients_are_named():
    few = judge(comparison((0.8, 0.8), (0.6, 0.8), (400, 5)))
    assert few.word == "not estimable"
    assert "men: sensitivity: too few patients (5 patients)" in few.unjudged
    assert "women: sensitivity: no second group to compare with (400 patients)" in few.unjudged


@pytest.mark.parametrize(
    ("before", "after", "word", "group"),
    [
        ((0.5, 0.8), (0.8, 0.8), "helped", "women"),
        ((0.5, 0.8), (0.5, 0.55), "levelled down", "men"),
        ((0.7, 0.8), (0.6, 0.69), "no difference shown", ""),
        ((0.7, 0.9), (0.58, 0.2), "harmed", "men"),
        ((0.7, 0.8), (0.8, 0.7), "harmed", "men"),
        ((0.5, 0.8), (0.5, 0.45), "levelled down", "men"),
        ((0.5, 0.8), (0.5, 0.95), "favoured", "men"),  # nobody lost
        ((0.8, 0.8), (0.8, 0.95), "favoured", "men"),  # nobody was worse off
        ((0.8, 0.8), (0.8, 0.6), "harmed", "men"),
        ((0.5, 0.8), (0.3, 0.8), "harmed", "women"),
        ((0.59, 0.88), (0.88, 0.8), "helped", "women"),  # sides swap, but the gap closes
        ((0.59, 0.88), (0.88, 0.6), "harmed", "men"),
    ],
)
def test_mitigations(before, after, word, group):
    found = comparison(before, after)
    actual = judge_mitigation(found, judge(found))
    assert (actual.word, actual.group) == (word, group)
    assert actual.word in MITIGATIONS


def test_levelling_down_is_never_help():
    """Both lose, the better-off more: the gap closes, nobody gained."""
    found = comparison((0.6, 0.9), (0.48, 0.5))
    verdict = judge_mitigation(found, judge(found))
    assert verdict.word != "helped"
    assert verdict.group == "men"


def test_values_are_told_in_their_unit():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 60)
    before = rng.uniform(0.7, 0.9, 120)
    after = before - np.where(group == 0, 0.1, 0.0) + rng.normal(0, 0.01, 120)
    found = value_changes(before, after, group, np.arange(120), groups=2)
    test = one_cell(group_test(found.tables, seed=0, permutations=999), 0)
    blank = np.zeros((1, 2))
    quantity = (Quantity("Dice", "", "of Dice"),)
    rates = (found.original[0], found.reconstructed[0])
    told = judge(Comparison(test, NAMES[:2], quantity, *rates, blank - 1, blank, found.changed[0]))
    assert (told.word, told.group, told.stratum) == ("harmed", "women", "")
    assert "of Dice more than men (0.09" in told.reason


def test_names_must_fit():
    both = comparison((0.8, 0.8), (0.6, 0.8))
    with pytest.raises(ValueError, match="2 x 3 names were given"):
        Comparison(both.test, NAMES, QUANTITIES, *(both.original,) * 5)


def test_words():
    assert [p_words(p) for p in (0.034, 0.00062, 0.00001, 1.0)] == [
        "p = 0.034",
        "p = 0.0006",
        "p < 0.0001",
        "p = 1",
    ]
    assert [amount(v, "points") for v in (0.374, 0.023)] == ["37 points", "2.3 points"]
    assert amount(-0.0512, "of Dice") == "0.051 of Dice"
