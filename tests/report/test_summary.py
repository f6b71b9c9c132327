"""The three sentences: right numbers, honest words, also where nothing can be said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import claims, summary
from fairrecon_jax.report.select import Findings
from tests.support import report_fake as fake
from tests.support.report_findings import NAMED_OTHERWISE, findings_of, no_findings


def judged(mri: Findings, verdict: str, **columns: object) -> Findings:
    """The study with one verdict in all its headline gaps."""
    rows = mri.fairness.copy()
    rows = rows[(rows["version"] != "change") | rows["change"].notna()]
    matching = (rows["version"] == "change") & (rows["convention"] == "worst_case_estimable")
    rows.loc[matching, "verdict"] = verdict
    for column, value in columns.items():
        rows.loc[matching, column] = value
    return Findings(mri.spec, mri.performance, rows)


def test_listing_and_plurals():
    assert summary.listing([]) == ""
    assert summary.listing(["a"]) == "a"
    assert summary.listing(["a", "b"]) == "a and b"
    assert summary.listing(["a", "b", "c"]) == "a, b and c"
    assert summary.plural(1, "gap") == "1 gap"
    assert summary.plural(1200, "study") == "1,200 studies"


def test_groups_come_first_and_every_sentence_ends(mri):
    sentences = summary.sentences(mri)
    assert [heading for heading, _ in sentences] == [
        "Who lost more than others",
        "What happened to diagnosis",
        "What was compared",
    ]
    assert all(text.endswith(".") for _, text in sentences)


def test_what_was_compared_names_methods_levels_and_tasks(mri):
    text = summary.compared(mri)
    assert "by U-Net and IR-SDE" in text
    assert "acceleration factor 4×, 8× and 16×" in text
    assert "2 findings and 1 delineation" in text
    assert "mitigation" not in text


def test_the_degraded_image_is_not_called_a_reconstruction():
    text = summary.compared(findings_of(fake.mri_spec(), ("identity",)))
    assert "from the degraded image itself" in text
    assert "its reconstruction by" not in text


def test_the_degraded_image_is_told_by_its_kind_not_by_its_name():
    names = ("degraded", "identity")
    findings = findings_of(fake.mri_spec(), names, called=NAMED_OTHERWISE)
    text = summary.compared(findings)
    assert "from its reconstruction by Pix2Pix and from the degraded image itself" in text
    assert "with Pix2Pix" in summary.diagnosis(findings)
    assert "Diagnosed from the degraded image itself" in summary.degraded(findings)
    assert "with Pix2Pix" in summary.in_practice(findings)
    alone = findings_of(fake.mri_spec(), ("degraded",), called=NAMED_OTHERWISE)
    assert "on the degraded image" in summary.in_practice(alone), "all there is to tell"


def test_mitigations_are_named():
    text = summary.compared(findings_of(fake.mri_spec(), ("unet",), ("none", "eodd")))
    assert "with and without mitigation (equalised-odds loss)" in text


def test_diagnosis_gives_the_mean_scores_of_the_table(mri):
    rows = mri.pick("performance", metric="auroc", attribute="", level=8.0)
    base = rows[rows["version"] == "original"].groupby("task")["value"].mean().mean()
    unet = rows[(rows["version"] == "reconstructed") & (rows["reconstructor"] == "unet")][
        "value"
    ].mean()
    text = summary.diagnosis(mri)
    assert (
        f"the mean AUROC of 2 tasks went from {base:.3f} on originals to {unet:.3f} with U-Net"
        in text
    )
    assert "the Dice went from" in text


def test_losses_and_gains_are_counted_from_the_verdicts(mri):
    rows = pd.DataFrame(
        {
            "version": "change",
            "verdict": ["lower", "lower", "higher", "no difference shown", "not estimable"],
        }
    )
    rows["change"] = [-0.1, -0.2, 0.1, 0.0, np.nan]
    words = summary.overall_verdicts(rows)
    assert (
        words
        == "of 5 single changes, 2 are a loss and 1 a gain beyond chance, and 1 could not be judged"
    )


def test_untested_changes_of_diagnosis_are_said_to_be_untested():
    rows = pd.DataFrame({"version": ["change"], "verdict": [""], "change": [-0.1]})
    assert "no test of these changes" in summary.overall_verdicts(rows)


def test_no_difference_shown_is_not_called_equal(mri):
    text = claims.who_lost_more(judged(mri, "no difference shown", gap="", mde=0.07))
    assert (
        "no group was shown to lose or gain more than the others in 12 primary comparisons" in text
    )
    assert "This does not show that the groups fare equally well" in text
    assert "by 7.0 points or 0.070 of Dice (median) would be found at least 4 times in 5" in text


def test_nothing_is_claimed_without_a_test(mri):
    text = claims.who_lost_more(judged(mri, "", gap=""))
    assert "no test was run" in text
    assert "harmed" not in text


def test_not_estimable_gives_the_commonest_reason(mri):
    few = judged(mri, "not estimable", gap="", reason="fewer than 10 patients.")
    text = claims.who_lost_more(few)
    assert "could be judged: fewer than 10 patients." in text
    assert not text.endswith("..")


def test_at_chance_is_not_judged(mri):
    assert "could be judged" in claims.who_lost_more(judged(mri, "at chance", gap=""))


def test_empty_tables_give_honest_sentences(mri):
    texts = [text for _, text in summary.sentences(no_findings(mri.spec))]
    assert "could not be estimated" in texts[0]
    assert "could not be estimated" in texts[1]
    assert "nothing could be compared" in texts[2]


def test_mitigated_rows_do_not_enter_the_headline():
    both = findings_of(fake.mri_spec(), ("unet",), ("none", "eodd"))
    assert "equalised" not in summary.diagnosis(both)
    assert len(both.plain(both.gap_changes())) == len(both.gap_changes()) / 2


STRATA = (
    "no two groups have enough patients to be compared; not estimable: {}: Dice: too few patients"
)
FEWER = "{}: fewer than 20 patients"


@pytest.mark.parametrize(
    ("reasons", "verdicts", "expected"),
    [
        (["few."] * 2, ["not estimable"] * 2, "few"),
        (
            [STRATA.format("a"), STRATA.format("b")],
            ["not estimable"] * 2,
            "too few patients in the groups to be compared",
        ),
        (
            [FEWER.format("a"), FEWER.format("b")],
            ["not estimable"] * 2,
            "fewer than 20 patients in the groups to be compared",
        ),
        (["no label", FEWER.format("b")], ["not estimable"] * 2, claims.WHY["not estimable"]),
        (
            ["[0.4, 0.6] holds 0.5", "[0.3, 0.7] holds 0.5"],
            ["at chance"] * 2,
            claims.WHY["at chance"],
        ),
        (
            ["", FEWER.format("b")],
            ["differs between seeds", "not estimable"],
            f"{FEWER.format('')[2:]} in the groups to be compared",
        ),
        (["x" * 300] * 2, ["not estimable"] * 2, claims.WHY["not estimable"]),
    ],
)
def test_why_nothing_could_be_judged_is_said_in_whole_words(reasons, verdicts, expected):
    words = claims.why_unjudged(pd.DataFrame({"reason": reasons, "verdict": verdicts}))
    assert words == expected + (
        " and the seeds disagree" if "differs between seeds" in verdicts else ""
    )


def test_seeds_that_disagree_are_no_verdict(mri):
    assert claims.who_lost_more(judged(mri, "differs between seeds", reason="")).endswith(
        "could be judged: the seeds disagree."
    )


def test_without_originals_none_are_claimed(mri):
    rows = mri.performance
    alone = dataclasses.replace(
        mri, performance=rows.assign(value=rows["value"].mask(rows["version"] == "original"))
    )
    text = summary.compared(alone)
    assert (
        "the diagnosis (2 findings and 1 delineation) of each image was made from its "
        "reconstruction by U-Net and IR-SDE" in text
    )
    assert text.endswith("no diagnosis of an original image is in the tables.")
    assert "once from each original" not in text
    assert "once from each original" in summary.compared(mri)
    assert "could not be estimated" in summary.diagnosis(alone)


def test_a_task_that_one_method_lacks_does_not_enter_the_mean(mri):
    rows = mri.performance
    lost = (
        (rows["task"] == "grade")
        & (rows["reconstructor"] == "irsde")
        & (rows["version"] == "reconstructed")
        & (rows["metric"] == "auroc")
    )
    text = summary.diagnosis(dataclasses.replace(mri, performance=rows[~lost]))
    assert "the AUROC of Glioblastoma went from" in text, (
        "only one task is left, so no mean is claimed"
    )


def lost(mri: Findings, verdict: str) -> Findings:
    """Sensitivity of one task and method from 0.80 to 0.65, all other changes in everyone none."""
    rows = mri.performance.copy()
    everyone = (
        (rows["version"] == "change")
        & (rows["attribute"] == "")
        & (rows["level"] == mri.headline_level)
    )
    rows.loc[everyone, ["original", "reconstructed", "change", "verdict"]] = [
        0.8,
        0.8,
        0.0,
        "no difference shown",
    ]
    matching = (
        everyone
        & (rows["metric"] == "sensitivity")
        & (rows["task"] == "grade")
        & (rows["reconstructor"] == "irsde")
    )
    rows.loc[matching, ["reconstructed", "change", "verdict"]] = [0.65, -0.15, verdict]
    return Findings(mri.spec, rows, mri.fairness)


def test_in_practice_names_the_largest_loss_out_of_a_hundred(mri):
    text = summary.in_practice(lost(mri, "lower"))
    start = (
        "Of 100 patients who have WHO grade IV, 80 are called positive on originals and 65 "
        "with IR-SDE"
    )
    assert text.startswith(f"{start}: the largest loss beyond chance of 4 pairs")
    assert "a difference that chance alone can make" in summary.in_practice(
        lost(mri, "no difference shown")
    )
    assert "without a verdict" in summary.in_practice(lost(mri, ""))


def test_the_first_page_tells_the_loss_in_patients_once(mri):
    told = dict(summary.sentences(lost(mri, "lower")))
    assert "Of 100 patients who have WHO grade IV, 80 are" in told["What happened to diagnosis"]
    assert "Of 100" not in "".join(text for name, text in told.items() if "happened" not in name)
    assert summary.in_practice(no_findings(mri.spec)) == ""
