"""Sentences about groups from rows chosen by hand: who is named, what is counted, what is kept out
of the headline.
"""

from __future__ import annotations

import pytest

from fairrecon_jax.report import claims, summary
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import gaps
from tests.support.report_findings import findings_of_rows

WORDS = (
    "sensitivity: Female 95 to 52 of 100, Male 85 to 79; Female lost 37 points more than Male "
    "(20 to 53), p = 0.0006 (0.004 over 6 comparisons)"
)
QUIET = {"verdict": "no difference shown", "gap": "", "group": "", "label_stratum": ""}


def gap(task: str, **more) -> dict:
    """The change row of a gap by sex, by default a claim of the primary family."""
    return {
        "task": task,
        "attribute": "sex",
        "metric": "eodd",
        "unit": "patient",
        "version": "change",
        "verdict": "harmed",
        "gap": "same",
        "group": "Female",
        "label_stratum": "positive",
        "family": "primary: eodd, level 8, mitigation none",
        "original": 0.1,
        "reconstructed": 0.27,
        "change": 0.17,
        "p_value": 0.0006,
        "p_adjusted": 0.004,
        "mde": 0.12,
        "reason": WORDS,
        **more,
    }


def score(task: str, **more) -> list[dict]:
    """A claim about scores, and the row of the group it names."""
    fields = {"reference_group": "all", "family": "secondary: gap_score, level 8"}
    claim = gap(task, metric="gap_score", reason="score for the truth", **{**fields, **more})
    own = {k: claim[k] for k in ("task", "attribute", "metric", "unit", "version", "verdict")}
    own |= {"group": claim["group"], "label_stratum": claim["label_stratum"], "convention": ""}
    own |= {"reference_group": "the other groups", "change": -0.5}
    return [claim, {**own, "original": 1.0, "reconstructed": 0.3}]


def study(*rows: dict) -> Findings:
    return findings_of_rows(fairness=rows)


def test_the_clearest_claim_is_told_as_a_clinician_says_it():
    text = claims.who_lost_more(
        study(gap("grade"), gap("type", p_adjusted=0.03, reason="specificity: other words"))
    )
    assert text.startswith(
        "At acceleration factor 8× with U-Net, sensitivity for WHO grade IV: Female 95 to 52 of "
        "100, Male 85 to 79; Female lost 37 points more than Male (20 to 53), p = 0.0006 (0.004 "
        "over 6 comparisons). The gap by sex did not clearly change (EODD 0.10 to 0.27). Among 2 "
        "primary comparisons at acceleration factor 8×, 2 show a group harmed."
    )
    assert "other words" not in text


@pytest.mark.parametrize(
    ("word", "became"),
    [
        ("widened", "widened"),
        ("narrowed", "narrowed"),
        ("reversed", "swapped its sides"),
        ("same", "did not clearly change"),
    ],
)
def test_what_became_of_the_gap_is_a_sentence_of_its_own(word, became):
    assert f"The gap by sex {became} (EODD" in claims.who_lost_more(study(gap("grade", gap=word)))


def test_strata_without_enough_patients_are_not_read_out():
    text = claims.who_lost_more(
        study(gap("grade", reason=f"{WORDS}; not estimable: Other: sensitivity: too few patients"))
    )
    assert "not estimable" not in text
    assert "(0.004 over 6 comparisons)." in text


def test_counts_say_how_many_of_how_many_and_what_may_be_hidden():
    rows = [
        gap("grade"),
        gap("grade", attribute="age", verdict="favoured", p_adjusted=0.01),
        gap("type", **QUIET),
        gap("type", attribute="age", verdict="not estimable", reason="few"),
    ]
    text = claims.who_lost_more(study(*rows))
    assert (
        "Among 3 primary comparisons at acceleration factor 8×, 1 shows a group harmed and 1 a "
        "group favoured (1 more could not be judged)"
    ) in text
    assert text.endswith(
        "In the other 1 no difference was shown; that does not show that the groups fare equally "
        "well: a further change of one group by 12 points (median) would be found at "
        "least 4 times in 5, smaller ones less often."
    )


def test_tables_that_name_no_primary_family_are_read_as_a_whole():
    text = claims.who_lost_more(study(gap("grade", family=""), gap("type", family="", **QUIET)))
    assert "Among 2 comparisons at acceleration factor 8×, 1 shows a group harmed." in text


def test_the_words_of_gaps_have_a_column_where_a_gap_has_one():
    claimed = gaps.primary_verdicts(study(gap("grade"), gap("type", **QUIET)))
    assert claimed.frame["gap became"].tolist() == ["same", ""]
    quiet = gaps.primary_verdicts(study(gap("type", **QUIET)))
    assert "gap became" not in quiet.frame
    assert "detectable" in quiet.frame


def test_secondary_families_make_no_headline():
    second = gap("type", family="secondary: eodd, level 8", p_adjusted=1e-4)
    text = claims.who_lost_more(study(gap("grade", **QUIET), second))
    assert "no group was shown to lose or gain more than the others in 1 primary comparison" in text


def test_the_degraded_image_is_never_the_headline_beside_a_reconstruction():
    identity = gap("grade", reconstructor="identity", p_adjusted=1e-4)
    both = study(identity, gap("type", **QUIET))
    assert "no group was shown" in claims.who_lost_more(both)
    assert "grade" not in summary.in_practice(both)
    told = dict(summary.sentences(both))["Without reconstruction"]
    assert told == (
        "Diagnosed from the degraded image itself at acceleration factor 8×, of 1 primary "
        "comparison of groups 1 shows a group harmed."
    )
    alone = study(identity)
    assert "on the degraded image, sensitivity for WHO grade IV" in claims.who_lost_more(alone)
    assert summary.degraded(alone) == ""


def test_a_diagnosis_at_chance_is_not_narrated():
    scores = [
        {
            "task": task,
            "metric": metric,
            "version": version,
            "unit": "patient",
            "value": 0.5,
            "original": 0.9,
            "reconstructed": 0.1 if task == "grade" else 0.8,
            "change": -0.8 if task == "grade" else -0.1,
            "verdict": verdict if version == "change" else "",
        }
        for task, verdict in (("grade", "at chance"), ("type", "lower"))
        for metric in ("auroc", "sensitivity")
        for version in ("original", "reconstructed", "change")
    ]
    weak = findings_of_rows(scores, [gap("type", **QUIET), gap("grade", verdict="at chance")])
    for text in (summary.diagnosis(weak), summary.in_practice(weak)):
        assert "Glioblastoma" in text
        assert "grade IV" not in text.replace("(WHO grade IV left out: at chance on originals)", "")
    assert weak.at_chance == ["grade"]
    assert "WHO grade IV" not in claims.who_lost_more(weak)


def test_a_claim_of_the_scores_alone_is_worded_as_such():
    text = claims.who_lost_more(study(gap("grade", **QUIET), *score("grade")))
    assert text.endswith(
        "Scores of Female with WHO grade IV fell more than those of Male (with U-Net, adjusted "
        "p = 0.004); at this threshold no difference in decisions is shown."
    )
    assert "harmed" not in text


def test_scores_are_not_told_where_decisions_are_claimed_or_not_judged():
    for verdict in ("harmed", "not estimable"):
        assert "Scores of" not in claims.who_lost_more(
            study(gap("grade", verdict=verdict), *score("grade"))
        )


@pytest.mark.parametrize(
    ("verdict", "positive", "values", "words"),
    [
        ("harmed", True, (1.0, 0.3), "fell more"),
        ("harmed", True, (0.3, 0.4), "rose less"),
        ("favoured", True, (0.3, 0.9), "rose more"),
        ("favoured", True, (0.9, 0.8), "fell less"),
        # without the finding a score counts with its sign turned
        ("harmed", False, (1.0, 0.3), "rose more"),
        ("favoured", False, (0.3, 0.9), "fell more"),
        ("harmed", False, None, "rose more"),
    ],
)
def test_which_way_scores_went(verdict, positive, values, words):
    own = None if values is None else dict(zip(("original", "reconstructed"), values))
    assert claims.score_moved(verdict, positive, own) == words


def test_without_a_sentence_the_claim_still_names_the_group():
    text = claims.who_lost_more(study(gap("grade", reason="", gap="")))
    assert text.startswith(
        "At acceleration factor 8× with U-Net, WHO grade IV: Female, patients with the finding, "
        "was harmed beside the others (adjusted p = 0.004). Among"
    )


def test_the_detectable_change_is_the_median_of_what_is_known():
    rows = [gap("grade", **QUIET, mde=m, attribute=a) for m, a in ((0.1, "sex"), (0.3, "age"))]
    assert "by 20 points (median)" in claims.who_lost_more(study(*rows))
    unknown = [{**row, "mde": float("nan")} for row in rows]
    assert claims.who_lost_more(study(*unknown)).endswith("the groups fare equally well.")


def test_a_gap_of_one_rate_alone_is_told():
    nobody = study(gap("grade", **QUIET, n_pos=0, n_neg=80))
    assert claims.who_lost_more(nobody).endswith(
        "Of those tested nobody has WHO grade IV: the gap is one of specificity alone."
    )
    both = study(gap("grade", **QUIET, n_pos=30, n_neg=80))
    assert "alone" not in claims.who_lost_more(both)
