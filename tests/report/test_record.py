"""The record of the study, and identifiers kept out of it."""

from __future__ import annotations

import pandas as pd
import pytest

from fairrecon_jax.report import privacy
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import record
from tests.support import report_fake as fake
from tests.support.report_findings import findings_of
from tests.support.report_inputs import provenance


@pytest.fixture(scope="module")
def study() -> Findings:
    return findings_of(fake.mri_spec(), ("unet",))


def same(text: str) -> str:
    return text


def test_run_times_must_be_seconds():
    with pytest.raises(ValueError, match=r"run_times'\]\['train'\] must be a number of seconds"):
        record.run_times({"run_times": {"train": "an hour"}})
    assert record.run_times({}) is None


def test_exclusions_are_counted_by_reason():
    table = record.exclusions(provenance(fake.mri_spec()), False, same)
    assert table.frame.to_numpy().tolist() == [["lateral view", 2]]
    assert "withheld" in table.caption


def test_many_reasons_of_a_kind_are_one_and_what_was_kept_is_said():
    rows = [{"file": f"{n}.png", "reason": f"gain {n}", "kind": "scale"} for n in range(9)]
    rows = [{**row, "meaning": "on another scale", "action": "kept"} for row in rows]
    rows += [{**rows[0], "reason": "flat", "kind": "constant", "action": "skipped"}] * 2
    frame = record.exclusions({"exclusions": rows}, False, same).frame
    assert frame.to_numpy().tolist() == [["kept: on another scale", 9], ["flat", 2]]
    assert "meaning" not in record.exclusions({"exclusions": rows}, True, same).frame


def test_exclusions_by_name_only_where_asked_for():
    table = record.exclusions(provenance(fake.mri_spec()), True, same)
    assert "SECRET00007/study1/view1.jpg" in table.frame["file"].tolist()


def test_exclusions_as_counts_and_as_a_table():
    assert record.exclusions({"exclusions": {"lateral": 3}}, False, same).frame[
        "left out"
    ].tolist() == [3]
    table = pd.DataFrame({"file": ["a", "b"], "reason": ["x", "x"]})
    assert record.exclusions({"exclusions": table}, False, same).frame["left out"].tolist() == [2]
    assert record.exclusions({"exclusions": table.iloc[:0]}, False, same) is None
    assert record.exclusions({}, False, same) is None


def test_exclusions_without_reasons_are_refused():
    with pytest.raises(ValueError, match="needs the column 'reason'"):
        record.exclusions({"exclusions": [{"file": "a"}]}, False, same)


def test_what_is_not_recorded_is_said():
    assert [rows for _, rows in record.facts({})] == [[("", "not recorded")]] * 3


def test_facts_keep_everything_the_caller_knows():
    facts = dict(record.facts({**provenance(fake.mri_spec()), "machine": "laptop"}))
    assert ("noise", "17") in facts["Seeds"]
    assert ("jax", "0.10.1") in facts["Versions"]
    assert facts["Split of the patients"][0][1].startswith("sha256:")
    assert facts["More"] == [("machine", "laptop")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [("seed", "3")]),
        ([1, 2], [("seed", "1, 2")]),
        ({"a": 1.5}, [("a", "1.500")]),
        ({"a": {"b": 1}}, None),
        (None, []),
    ],
)
def test_seeds_may_be_a_number_a_list_or_a_mapping(value, expected):
    rows = record.pairs(value, "seed")
    assert rows == expected if expected is not None else '"b": 1' in rows[0][1]


def test_configurations_may_be_text_or_mappings():
    assert record.text_of("a: 1") == "a: 1"
    assert record.text_of({"b": 1, "a": 2}).index('"a"') < record.text_of({"b": 1, "a": 2}).index(
        '"b"'
    )


def test_the_making_names_convention_rule_unit_tests_and_families(study):
    making = dict(record.making(study))
    assert making["Convention shown"] == "worst_case_estimable (also in the tables: mean)"
    assert "balanced on validation originals" in making["Decision threshold"]
    assert "WHO grade IV by patient" in making["Unit of judgement"]
    assert "permuted patients and signs" in making["Tests"]
    families = making["Families of tests that were corrected together"]
    assert families.startswith("primary: eodd, level 8, mitigation none; primary: ser, level 8")
    assert families.endswith("secondary families of one metric, level and mitigation each")


def test_each_way_of_an_interval_or_a_test_is_told_once():
    wilson, signs = "Wilson, clustered by patient", "p: studentised sign flips by patient"
    rows = pd.DataFrame(
        [
            ("sensitivity", "", wilson),
            ("sensitivity", "", f"{wilson}; {signs}"),
            ("specificity", "", f"{wilson}; {signs}"),
            ("auroc", "", f"DeLong, clustered by patient; {signs}"),
            ("sensitivity", "the other groups", "simultaneous over groups and labels"),
            ("eodd", "", ""),
        ],
        columns=["metric", "reference_group", "method"],
    )
    assert record.ways(rows) == [
        (
            "Intervals",
            "sensitivity and specificity: Wilson, clustered by patient; AUROC: DeLong, clustered "
            "by patient; changes beyond the others: simultaneous over groups and labels",
        ),
        ("Tests", "sensitivity, specificity and AUROC: studentised sign flips by patient"),
    ]
    assert record.ways(rows[:0]) == [
        ("Intervals", record.NOT_STATED),
        ("Tests", record.NOT_STATED),
    ]


def test_untested_tables_say_that_no_test_ran(study):
    bare = study.fairness.assign(verdict="", p_value=float("nan"))
    untested = Findings(study.spec, study.performance.assign(verdict=""), bare)
    assert (
        dict(record.making(untested))["Families of tests that were corrected together"]
        == "no test ran"
    )
    assert not record.has_tests(untested)
    assert record.has_tests(study)


def test_conventions_side_by_side(study):
    frame = record.conventions(study).frame
    verdicts = dict(zip(frame["convention"], frame["verdicts"], strict=False))
    assert verdicts == {"worst_case_estimable": "yes", "mean": "no verdict under this convention"}
    assert set(frame["gap"]) == {"EODD", "EOP", "SER", "Delta-Dice"}


def test_unjudged_rows_are_counted(study):
    frame = record.unjudged(study).frame
    lpips = frame[frame["reason"] == "LPIPS weights cannot be imported yet"]
    assert lpips["rows"].tolist() == [3]
    assert frame["rows"].sum() == sum(
        int(
            (
                f["verdict"].isin(["not estimable", "at chance"])
                | (f["value"].isna() & (f["reason"] != ""))
            ).sum()
        )
        for f in (study.performance, study.fairness)
    )


def test_thresholds_are_listed_once_per_task(study):
    frame = record.thresholds(study).frame
    assert frame["diagnosis"].tolist() == ["WHO grade IV", "Glioblastoma"]
    assert set(frame["threshold"]) == {"0.4100"}


def test_identifiers_are_withheld_from_free_text():
    hide = privacy.redactor(["SECRET00007", "TCGA_CS_4941"], keep=False)
    assert hide("mask of SECRET00007/study1 missing") == "mask of [withheld]/study1 missing"
    assert hide("TCGA_CS_4941.tif, lateral") == "[withheld] lateral" or "4941" not in hide(
        "TCGA_CS_4941.tif, lateral"
    )
    assert hide("nothing to hide") == "nothing to hide"


def test_names_of_several_words_and_paths_are_withheld_whole_the_longest_first():
    hide = privacy.redactor(
        ["Anna Meier", "Anna Meier-Lang 2", "a/b/img_001.png", "#77001"], keep=False
    )
    assert hide("patient Anna Meier: no age") == "patient [withheld]: no age"
    assert hide("Anna Meier-Lang 2, Anna Meier") == "[withheld], [withheld]"
    assert hide("/data/a/b/img_001.png unreadable") == "/data/[withheld] unreadable"
    assert hide("case #77001.") == "case [withheld]."
    assert hide("Anna, a/b and img_001 stay") == "Anna, a/b and img_001 stay"


def test_names_are_looked_up_by_their_rarest_word():
    assert privacy.phrases_by_word(["scan 1 a", "scan 2 a", "//"]) == {
        "1": ["scan 1 a"],
        "2": ["scan 2 a"],
    }


def test_short_names_are_not_mistaken_for_words():
    hide = privacy.redactor(["1", "test"], keep=False)
    assert hide("1 test of 1") == "1 test of 1"


def test_identifiers_stay_where_asked_for():
    assert privacy.redactor(["SECRET00007"], keep=True)("SECRET00007") == "SECRET00007"
