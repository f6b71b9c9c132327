"""Numbers as rows, by hand: the three versions, words for a change, rows per group,
and the verdict on a row's own gap.
"""

import numpy as np
import pytest

from fairrecon_jax.assessment.deferred import Family
from fairrecon_jax.assessment.performance import plain, verdict_of_change
from fairrecon_jax.assessment.rows import BLANK, Interval, Triple, version_rows
from fairrecon_jax.assessment.verdicts import (
    NO_VERDICT,
    PERMUTED,
    SIMULTANEOUS,
    UNPAIRED,
    GapTest,
    group_rows,
    of_row,
    queue,
    without_test,
)
from fairrecon_jax.inference import Comparison, decision_changes, group_test, one_cell
from fairrecon_jax.inference.comparison import SENSITIVITY, SPECIFICITY
from fairrecon_jax.inference.verdict import at_chance

NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "p", "word"),
    [
        (0.1, 0.01, "higher"),
        (-0.1, 0.01, "lower"),
        (-0.1, 0.05, "lower"),
        (0.1, 0.06, "no difference shown"),
        (0.0, 0.01, "no difference shown"),
        (0.1, NAN, "not estimable"),
    ],
)
def test_words_for_a_change(change, p, word):
    assert verdict_of_change(change, p, 0.05) == word


def test_at_chance_says_the_interval():
    assert at_chance((0.51, 0.7)) == at_chance((NAN, NAN)) == ""
    assert at_chance((0.5, 0.54)).startswith("the AUROC on originals, 0.500 to 0.540, includes 0.5")
    assert "inverted" in at_chance((0.3, 0.49))


def test_three_rows_of_a_number():
    rows = version_rows({"metric": "m", "task": "t"}, plain(0.5, 0.4), "boot", {"reason": "why"})
    assert [r["version"] for r in rows] == ["original", "reconstructed", "change"]
    assert [r["value"] for r in rows] == pytest.approx([0.5, 0.4, -0.1])
    assert [r["method"] for r in rows] == ["", "", ""]  # no interval, no method
    assert [r["reason"] for r in rows] == ["", "", "why"]
    assert rows[2]["percent"] == pytest.approx(-20)
    assert np.isnan([r["original"] for r in rows[:2]]).all()
    assert np.isnan(version_rows({}, plain(0.0, 0.4), "", {})[2]["percent"])
    some = version_rows({}, Triple(Interval(1, 1, 0, 2), Interval(1), Interval(0)), "boot", {})
    assert [r["method"] for r in some] == ["boot", "", ""]


GROUPS = ("a", "b", "c")
SIZES = ((20, 20, 9), (20, 20, 0))
"""Patients of each group without and with the finding."""
LOST = 12
"""Patients of group a whose finding is missed on reconstructions."""


def comparison() -> tuple[Comparison, np.ndarray]:
    """Group a lost 12 of 20 findings, b none; c has nine patients without and none with one."""
    label, group = (
        np.concatenate([np.full(SIZES[y][g], (y, g)[i]) for y in (0, 1) for g in range(3)])
        for i in (0, 1)
    )
    before = 1.0 * (label == 1)
    after = before.copy()
    after[np.flatnonzero((label == 1) & (group == 0))[:LOST]] = 0
    changes = decision_changes(before, after, label, group, np.arange(len(label)), groups=3)
    test = group_test(
        changes.tables, seed=0, permutations=199, counted=changes.counted, decisions=True
    )
    own = changes.reconstructed[0] - changes.original[0]
    found = Comparison(
        one_cell(test, 0),
        GROUPS,
        (SPECIFICITY, SENSITIVITY),
        changes.original[0],
        changes.reconstructed[0],
        own - 0.1,
        own + 0.1,
        changes.changed[0],
    )
    return found, changes.images[0]


def gap_test(**changes) -> GapTest:
    found, images = comparison()
    fields = {
        "metric": "eodd",
        "comparison": found,
        "family": "f",
        "auroc": None,
        "alpha": 0.05,
        "decisions": True,
        "images": images,
    } | changes
    return GapTest(**fields)


def test_a_question_at_chance_has_no_p():
    p = gap_test().p_value
    assert p == 1 / 200
    assert gap_test(auroc=Interval(0.7, 0.1, 0.51, 0.9)).p_value == p
    assert np.isnan(gap_test(auroc=Interval(0.6, 0.1, 0.5, 0.7)).p_value)
    assert gap_test().method == PERMUTED
    weighed = gap_test(label_weights=(0.25, 1.0)).method
    assert weighed.endswith(", labels weighted 0.25 (specificity) and 1 (sensitivity)")


def test_rows_of_groups_by_hand():
    table = {(r["metric"], r["group"]): r for r in group_rows(gap_test(), {"task": "t"})}
    assert list(table) == [(m, g) for m in ("gap_specificity", "gap_sensitivity") for g in GROUPS]
    a = table["gap_sensitivity", "a"]
    assert [a["value"], a["change"]] == pytest.approx([-0.6, -0.6])
    assert [a["original"], a["reconstructed"]] == pytest.approx([1.0, 0.4])
    assert table["gap_sensitivity", "b"]["value"] == pytest.approx(0.6)
    assert [a[c] for c in ("n", "n_patients", "n_changed", "n_pos")] == [20, 20, LOST, 20]
    assert np.isnan(a["n_neg"])
    assert a["p_value"] == 1 / 200
    assert (a["method"], a["verdict"], a["version"]) == (SIMULTANEOUS, "", "change")
    assert a["ci_low"] < a["value"] < a["ci_high"] < 0
    quiet = table["gap_specificity", "a"]
    assert [quiet["value"], quiet["p_value"], quiet["n_neg"]] == [0, 1, 20]
    for metric, reason, patients in (
        ("gap_specificity", "too few patients", 9),
        ("gap_sensitivity", "no images", 0),
    ):
        c = table[metric, "c"]
        assert (c["verdict"], c["method"], c["reason"]) == ("not estimable", "", reason)
        assert c["n_patients"] == patients
        assert np.isnan(c["value"])
    assert all(set(row) == set(BLANK) for row in table.values())


@pytest.mark.parametrize(
    ("p", "gap", "words"),
    [
        (0.02, {}, ("harmed", "harmed", "favoured")),
        (0.2, {}, ("no difference shown",) * 3),
        (float("nan"), {"auroc": Interval(0.5, 0.1, 0.4, 0.6)}, ("at chance",) * 3),
    ],
)
def test_a_row_of_a_group_needs_its_own_p_and_that_of_the_family(p, gap, words):
    test, judged = gap_test(**gap), [{**BLANK, "change": 0.6, "method": "closed form"}]
    per_group = group_rows(test, {})
    told = queue(test, judged, per_group)
    judged[0] |= told.adjust(Family(p, 0.01, 5), judged[0])
    found = {(r["metric"], r["group"]): r for r in per_group}
    a, b = (found["gap_sensitivity", g] for g in "ab")
    assert (judged[0]["verdict"], a["verdict"], b["verdict"]) == words
    assert judged[0]["method"] == f"closed form; {PERMUTED}"
    unjudged = "not estimable: c: specificity: too few patients (9 patients)"
    assert unjudged in judged[0]["reason"]
    if np.isnan(p):
        assert found["gap_sensitivity", "c"]["verdict"] == "at chance"
        assert np.isnan(a["p_adjusted"])
        return
    assert found["gap_sensitivity", "c"]["verdict"] == "not estimable"
    assert a["p_adjusted"] == p
    assert found["gap_specificity", "a"]["p_adjusted"] == 1
    assert found["gap_specificity", "a"]["verdict"] == "no difference shown"
    claimed = words[0] == "harmed"
    assert (judged[0]["group"], judged[0]["gap"]) == (("a", "widened") if claimed else ("", ""))
    assert judged[0]["mde"] == max(r["mde"] for r in per_group if r["verdict"] != "not estimable")


def test_change_rows_without_a_test_say_why():
    paired, alone = [dict(BLANK)], [dict(BLANK)]
    without_test(paired, paired=True)
    without_test(alone, paired=False)
    assert (paired[0]["verdict"], paired[0]["reason"]) == ("", NO_VERDICT)
    assert (alone[0]["verdict"], alone[0]["reason"]) == ("not estimable", UNPAIRED)


@pytest.mark.parametrize(
    ("gap", "change", "wanted"),
    [
        ("narrowed", -0.1, "narrowed"),
        ("narrowed", 0.1, "same"),
        ("narrowed", 0.0, "same"),
        ("widened", 0.1, "widened"),
        ("widened", -0.1, "same"),
        ("widened", np.inf, "widened"),
        ("widened", NAN, ""),
        ("narrowed", NAN, ""),
        ("same", NAN, ""),
        ("reversed", 0.1, "reversed"),
        ("same", 0.1, "same"),
        ("", 0.1, ""),
    ],
)
def test_a_row_is_not_given_the_direction_of_another_gap(gap, change, wanted):
    assert of_row(gap, change) == wanted
