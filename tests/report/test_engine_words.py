"""The report on tables of the assessment itself: its words are those that the report defines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, assess, compare
from fairrecon_jax.inference import GAPS, MITIGATIONS, VERDICTS
from fairrecon_jax.report import claims, strata, summary
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import mitigation as mitigation_tables
from tests.support import hand

OPTIONS = AssessOptions(
    permutations=199,
    threshold_rule="fixed",
    threshold_value=0.5,
    null_draws=10,
    replicates=20,
    conventions=("worst_case_estimable",),
)
SCENARIOS = {
    **hand.SCENARIOS,
    "quiet": ((6, 6), (54, 54), (6, 6), (54, 54)),
}
TASKS = ("widened", "swapped", "chance", "quiet")


@pytest.fixture(scope="module")
def study() -> Findings:
    """Women lose in the first task; in the last their scores fall without crossing the threshold. A
    mitigation gives back what the first lost.
    """
    plain = hand.table(TASKS, SCENARIOS)
    women = (plain["sex"] == "Female") & (plain["quiet__label"] == 1)
    plain["quiet__reconstructed"] = np.where(
        women & (plain["quiet__original"] > 0.5), 0.55, plain["quiet__reconstructed"]
    )
    restored = {**SCENARIOS, "widened": SCENARIOS["quiet"]}
    mitigated = hand.table(TASKS, restored).assign(mitigation="eodd")
    table = pd.concat([plain, plain.assign(reconstructor="identity"), mitigated])
    spec = hand.spec(TASKS)
    tables = assess(table, spec, OPTIONS)
    return Findings.of(spec, *tables, comparison=compare(table, spec, OPTIONS))


def test_every_word_of_the_tables_is_one_that_the_glossary_defines(study):
    defined = {term.split(" ", 1)[-1] for _, words in style.definitions() for term, _ in words}
    defined |= {term for _, words in style.definitions() for term, _ in words}
    tables = (study.performance, study.fairness, study.comparison)
    for column, known in (("verdict", {*VERDICTS, *MITIGATIONS, *style.OVERALL}), ("gap", GAPS)):
        words = {word for table in tables for word in table[column]} - {""}
        assert len(words) > 1
        assert words <= set(known)
        assert words <= defined


def test_the_headline_is_the_engines_sentence_with_the_diagnosis_in_it(study):
    text = claims.who_lost_more(study)
    assert text.startswith(
        "At photon count 10,000 with U-Net, sensitivity for widened: Female 90 to 50 of 100, Male "
        "90 to 90; Female lost 40 points more than Male ("
    )
    assert "The gap by sex widened (EODD 0.00 to 0.40)." in text
    assert (
        "Among 3 primary comparisons at photon count 10,000, 2 show a group harmed (1 more" in text
    )
    assert "Scores of Female with quiet fell more than those of Male (with U-Net" in text
    assert "chance:" not in text


def test_the_degraded_image_has_a_line_of_its_own(study):
    told = dict(summary.sentences(study))
    assert told["Without reconstruction"].endswith(
        "of 3 primary comparisons of groups 2 show a group harmed."
    )
    assert "degraded" not in told["Who lost more than others"]


def test_rows_of_groups_are_found_behind_every_judged_gap(study):
    rows = study.gap_changes(mitigation="none", reconstructor="unet")
    found = strata.standing_out(rows, strata.group_rows(study, "eodd")).set_index("task")
    assert (found.loc["widened", "stratum_group"], found.loc["swapped", "stratum_group"]) == (
        "Female",
        "Female",
    )
    assert found.loc["widened", "extra_change"] == pytest.approx(-0.4)
    assert found.loc["widened", "extra_ci_high"] < 0
    assert found.loc["chance", "stratum_group"] == ""


def test_a_mitigation_that_gave_the_loss_back_helped(study):
    frame = mitigation_tables.verdicts(study).frame.set_index("diagnosis")
    row = frame.loc["widened"]
    assert (row["verdict"], row["gap became"]) == ("△ helped", "narrowed")
    assert row["group"] == "Female, patients with the finding"
    assert row["worst-off group"].startswith("sensitivity 50 to 90")
    assert "AUROC +" in row["price"]
