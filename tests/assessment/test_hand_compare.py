"""Chosen rates through `compare`: every word of a mitigation by hand."""

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import compare
from fairrecon_jax.inference import MITIGATIONS
from tests.support import hand
from tests.support.find import one, rows

TURNED = {"narrowed": ("helped", "Female"), "reversed": ("harmed", "Male")}
"""What a comparison calls it where an assessment says favoured, and where sides swapped."""


@pytest.mark.parametrize("metric", ["eodd", "eop"])
@pytest.mark.parametrize("task", hand.NAMES)
def test_a_comparison_words_the_same_verdicts(assessed, compared_by_hand, task, metric):
    row = one(compared_by_hand, attribute="sex", version="change", task=task, metric=metric)
    wanted = one(assessed[1], **hand.CHANGE, task=task, metric=metric)
    assert (row["verdict"], row["group"]) == TURNED.get(task, (wanted["verdict"], wanted["group"]))
    numbers = ["value", "original", "reconstructed", "p_value", "mde", "n", "n_changed"]
    np.testing.assert_allclose(row[numbers].astype(float), wanted[numbers].astype(float), atol=1e-9)
    assert (row["mitigation"], row["family"]) == (
        "remedy",
        f"secondary: {metric}, level 10000, mitigation remedy",
    )
    assert (row["gap"], row["label_stratum"]) == (wanted["gap"], wanted["label_stratum"])


REMEDIES = {
    "helped": ((6, 6), (30, 54), (6, 6), (54, 54)),
    "levelled down": ((6, 6), (30, 30), (6, 6), (54, 36)),
    "worse off lost": ((6, 6), (42, 24), (6, 6), (54, 54)),
    "better off lost": ((6, 6), (48, 48), (6, 6), (54, 24)),
    "favoured the better off": ((6, 6), (30, 30), (6, 6), (36, 57)),
}
WORDS = {
    "helped": ("helped", "Female", "narrowed"),
    # men came down to women, who gained nothing
    "levelled down": ("levelled down", "Male", "narrowed"),
    "worse off lost": ("harmed", "Female", "widened"),
    # men fell from 0.9 to 0.4, women stay at 0.8: a gap of 0.1 became one of 0.4
    "better off lost": ("harmed", "Male", "widened"),
    # nobody lost, but women, worse off, gained nothing
    "favoured the better off": ("favoured", "Male", "widened"),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_what_a_mitigation_is_called(name):
    after = hand.table(("widened",), {"widened": REMEDIES[name]})
    before = after.assign(widened__reconstructed=after["widened__original"])
    fine = hand.table(("widened",), {"widened": ((6, 6), (54, 54), (6, 6), (54, 54))})
    originals = {"widened__original": fine["widened__original"]}
    stacked = pd.concat([before.assign(**originals), after.assign(**originals, mitigation="m")])
    row = one(
        compare(stacked, hand.spec(("widened",)), hand.options()),
        attribute="sex",
        version="change",
        metric="eop",
    )
    assert (row["verdict"], row["group"], row["gap"]) == WORDS[name]
    assert row["verdict"] in MITIGATIONS
    assert row["reason"].startswith(f"sensitivity: {row['group']} ")


def test_a_comparison_states_values_and_no_threshold(compared_by_hand):
    for version, value in (("unmitigated", 0), ("mitigated", 0.4), ("change", 0.4)):
        np.testing.assert_allclose(
            one(compared_by_hand, task="widened", metric="eodd", version=version)["value"],
            value,
            atol=1e-9,
        )
    assert "threshold" not in set(compared_by_hand["metric"])
    assert set(compared_by_hand["convention"]) == {"worst_case_estimable", ""}
    assert set(compared_by_hand.loc[compared_by_hand["task"] != "", "threshold_rule"]) == {"fixed"}


def test_a_comparison_of_a_copy_detects_nothing():
    table = hand.table(hand.NAMES)
    copy = compare(pd.concat([table, table.assign(mitigation="copy")]), hand.SPEC, hand.options())
    change = rows(copy, version="change", task=["widened", "narrowed", "same"])
    assert set(change["value"]) == {0}
    told = rows(change, metric=["eodd", "eop", "gap_auroc", "gap_sensitivity", "gap_score"])
    assert set(told["verdict"]) == {"no difference shown"}
    everyone = rows(change, metric=["sensitivity", "auroc"], attribute="")
    assert set(everyone["verdict"]) == {"no difference shown"}


def test_a_comparison_reversed_turns_every_change(compared_by_hand):
    """Mitigated and unmitigated exchanged: changes turn their sign, p of the gap stays."""
    after = hand.table(hand.NAMES)
    before = after.assign(**{f"{n}__reconstructed": after[f"{n}__original"] for n in hand.NAMES})
    back = compare(
        pd.concat([after, before.assign(mitigation="remedy")]), hand.SPEC, hand.options()
    )
    for task, verdicts in (
        ("widened", ["harmed", "helped"]),
        ("narrowed", ["helped", "harmed"]),
        # whoever lost is harmed, whichever way round
        ("swapped", ["harmed", "harmed"]),
    ):
        for metric in ("eodd", "eop"):
            a, b = (
                one(long, attribute="sex", version="change", metric=metric, task=task)
                for long in (compared_by_hand, back)
            )
            np.testing.assert_allclose(
                [a["change"], a["p_value"]], [-b["change"], b["p_value"]], atol=1e-6
            )
            assert [a["verdict"], b["verdict"]] == verdicts
    changes = [
        rows(long, metric="gap_sensitivity")["value"].to_numpy()
        for long in (compared_by_hand, back)
    ]
    np.testing.assert_allclose(changes[0], -changes[1], atol=1e-6)
