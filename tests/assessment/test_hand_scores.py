"""Scores given the label, chosen, through `assess`: logits by hand."""

import numpy as np

from tests.support import hand
from tests.support.find import one, rows

NOTHING = "no decision changed"


def test_scores_given_the_label_are_logits_by_hand(assessed):
    """Scores 0.2 and 0.8 are logits of -log 4 and log 4: of 60 women 54 to 30 scored high, so that
    their mean falls from 0.8 log 4 to 0, and each of 24 patients lost 2 log 4.
    """
    for g, sign in (("Female", -1), ("Male", 1)):
        row = one(
            assessed[1],
            task="widened",
            metric="gap_score",
            group=g,
            convention="",
            label_stratum="positive",
        )
        np.testing.assert_allclose(row["value"], sign * 0.8 * np.log(4), rtol=1e-9)
        before, after = (0.8 * np.log(4), 0) if g == "Female" else (0.8 * np.log(4),) * 2
        np.testing.assert_allclose(
            [row["original"], row["reconstructed"]], [before, after], atol=1e-12
        )
        assert [row["n"], row["n_changed"]] == [60, 24 if g == "Female" else 0]
        assert row["verdict"] == ("harmed" if g == "Female" else "favoured")
    gap = one(
        assessed[1], **hand.CHANGE, task="widened", metric="gap_score", reference_group="Female"
    )
    assert (gap["verdict"], gap["group"], gap["gap"]) == ("harmed", "Female", "widened")
    np.testing.assert_allclose(
        [gap["original"], gap["reconstructed"]], [0, 0.8 * np.log(4)], atol=1e-12
    )
    text = "score for the truth, with the finding: Female 1.109 to 0.000, Male 1.109 to 1.109"
    assert text in gap["reason"]
    assert "logits" in gap["reason"]
    assert not len(
        rows(
            hand.judge(hand.table(("same",)), hand.spec(("same",)), scores=False)[1],
            metric="gap_score",
        )
    )


def test_scores_show_a_loss_that_moves_no_decision():
    """Women's high scores fall from 0.8 to 0.6, above the threshold: decisions stay, scores do
    not.
    """
    table = hand.table(("same",))
    women = (table["sex"] == "Female") & (table["same__reconstructed"] == 0.8)
    table.loc[women & (table["same__label"] == 1), "same__reconstructed"] = 0.6
    fairness = hand.judge(table, hand.spec(("same",)))[1]
    eodd, score = (
        one(fairness, **hand.CHANGE, metric=m, reference_group="Female")
        for m in ("eodd", "gap_score")
    )
    assert (eodd["verdict"], eodd["reason"]) == ("no difference shown", NOTHING)
    assert (score["verdict"], score["group"], score["label_stratum"]) == (
        "harmed",
        "Female",
        "positive",
    )
    # 54 of 60 women lost log 4 - log 1.5
    lost = 0.9 * (np.log(4) - np.log(1.5))
    assert f"Female lost {lost:.3f} logits more than Male" in score["reason"]


def test_values_that_did_not_change_have_no_limits_and_nothing_detectable(assessed):
    """Without any change the spread of changes is unknown: a limit of 0 would claim to know it."""
    for metric in ("gap_score", "gap_auroc"):
        gap = one(assessed[1], **hand.CHANGE, task="same", metric=metric, reference_group="Female")
        assert (gap["verdict"], gap["reason"]) == ("no difference shown", "no value changed")
        assert np.isnan(gap["mde"])
    per_group = rows(
        assessed[1], task="same", metric="gap_score", reference_group="the other groups"
    )
    assert (per_group["value"] == 0).all()
    assert per_group[["ci_low", "ci_high", "mde"]].isna().all(axis=None)
