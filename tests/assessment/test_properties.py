"""What may not matter to an assessment (names, company, unknown rows, empty groups) and what a table without gaps or pairs still says."""

import hand
import numpy as np
import pandas as pd
import pytest
from find import one, rows

from fairrecon_jax.assessment import assess, batch, compare, read_results, write_results
from fairrecon_jax.assessment.study import studies, units
from fairrecon_jax.assessment.verdicts import NO_VERDICT, UNPAIRED
from fairrecon_jax.types import Attribute, CohortSpec, DegradationSpec, Task

NAME = "widened"
SPEC = hand.spec((NAME,))
CHANGE = {"attribute": "sex", "version": "change", "convention": "paper"}


def judge(table, spec=SPEC, **changes):
    return assess(table, spec, hand.options(**changes))


@pytest.fixture(scope="module")
def table():
    return hand.table((NAME,))


@pytest.fixture(scope="module")
def found(table):
    return judge(table)


def same(one_long, other, drop=(), **close):
    a, b = (hand.numeric(long, drop) for long in (one_long, other))
    pd.testing.assert_frame_equal(a, b, **close)


def test_names_of_groups_do_not_matter(table, found):
    renamed = table.assign(sex=table["sex"].map({"Female": "zebra", "Male": "ant"}))
    for before, after in zip(found, judge(renamed, hand.spec((NAME,), ("zebra", "ant")))):
        same(before, after)
        words = after["group"].replace({"zebra": "Female", "ant": "Male"})
        assert (words == before["group"]).all()
        assert (after["verdict"] == before["verdict"]).all()


def test_the_order_of_groups_moves_the_reference_alone(table, found):
    turned = judge(table, hand.spec((NAME,), ("Male", "Female")))
    for before, after in zip(found, turned):
        key = ["metric", "convention", "version", "attribute", "group", "label_stratum"]
        before, after = (long.sort_values(key, kind="stable") for long in (before, after))
        same(before, after, ("chance_floor",), rtol=1e-5, atol=1e-6)
        assert (before["verdict"].to_numpy() == after["verdict"].to_numpy()).all()
    assert set(rows(turned[1], metric="eodd")["reference_group"]) == {"Male"}


def test_an_empty_group_changes_nothing_and_is_told(table, found):
    spec = hand.spec((NAME,), ("Female", "Male", "Other"))
    performance, fairness = judge(table, spec)
    old, new = (long[long["group"].isin(["", "Female", "Male"])] for long in (found[0], performance))
    same(old, new, atol=1e-6)
    for metric in ("eodd", "eop", "gap_auroc"):
        a, b = (one(long, **CHANGE, metric=metric) for long in (found[1], fairness))
        columns = ["value", "ci_low", "ci_high", "p_value", "n", "n_changed"]
        np.testing.assert_allclose(a[columns].astype(float), b[columns].astype(float), atol=1e-6)
        assert a["verdict"] == b["verdict"]
        assert "Other" in b["reason"]
    own = rows(fairness, group="Other", metric=["gap_sensitivity", "gap_specificity"])
    assert set(own["reason"]) == {"no images with this label in this group"}
    empty = rows(performance, group="Other")
    assert empty["value"].isna().all()
    assert set(empty["n"]) == {0}


def test_patients_of_no_group_leave_the_gaps_alone(table, found):
    extra = table.iloc[:40].assign(sex=None, example_id=[f"x{i}" for i in range(40)])
    extra["patient_id"] = extra["example_id"]
    performance, fairness = judge(pd.concat([table, extra]))
    assert one(performance, metric="auroc", attribute="", version="original")["n"] == 280
    for metric in ("eodd", "eop"):
        a, b = (one(long, **CHANGE, metric=metric) for long in (found[1], fairness))
        columns = ["value", "original", "reconstructed", "p_value", "n", "n_patients", "n_changed", "mde"]
        np.testing.assert_allclose(a[columns].astype(float), b[columns].astype(float), rtol=1e-6)
    own = rows(found[1], metric="gap_sensitivity"), rows(fairness, metric="gap_sensitivity")
    same(*(part[["value", "std_error", "p_value"]] for part in own), rtol=1e-5)


def test_rows_of_other_splits_and_blank_cells_change_nothing(table, found):
    train = table.assign(split="train", example_id=table["example_id"] + "t", patient_id=table["patient_id"] + "t")
    blank = pd.concat([table.assign(mitigation=None, seed=np.nan), train])
    for before, after in zip(found, judge(blank)):
        pd.testing.assert_frame_equal(before, after)


def test_a_task_alone_is_the_task_among_others(found, monkeypatch):
    names = (NAME, "same", "shifted")
    together = judge(hand.table(names), hand.spec(names))
    monkeypatch.setattr(batch, "BUDGET", 1)
    apart = judge(hand.table(names), hand.spec(names))
    for alone, among, one_by_one in zip(found, together, apart):
        mine = among[among["task"].isin([NAME, ""])]
        same(alone, mine, ("p_adjusted",), rtol=1e-6, atol=1e-7)
        same(among, one_by_one, rtol=1e-6, atol=1e-7)
        assert (one_by_one["verdict"] == among["verdict"]).all()


def test_a_repeated_cell_repeats_its_rows(table, found):
    twin = judge(pd.concat([table, table.assign(reconstructor="twin")]))
    for before, after in zip(found, twin):
        for name in ("unet", "twin"):
            same(before, rows(after, reconstructor=name), ("p_adjusted",), rtol=1e-6, atol=1e-7)
    p = rows(twin[1], **CHANGE, metric="eodd")
    np.testing.assert_allclose(p["p_adjusted"], 2 * p["p_value"])


def test_without_originals_nothing_is_judged(table, found):
    performance, fairness = judge(table.drop(columns=f"{NAME}__original"))
    for long, whole in ((performance, found[0]), (fairness, found[1])):
        after, wanted = (rows(t, version="reconstructed", metric=["auroc", "brier", "eodd", "eop"]) for t in (long, whole))
        same(after[["value"]], wanted[["value"]], atol=1e-9)
        change = rows(long, version="change")
        assert set(change["reason"]) == {UNPAIRED}
        assert change["value"].isna().all()
    assert set(rows(fairness, version="change")["verdict"]) == {"not estimable"}
    assert set(rows(performance, version="change")["verdict"]) == {""}
    assert not set(fairness["metric"]) & {"gap_sensitivity", "gap_auroc"}


def test_thresholds_per_version_give_no_verdict_and_say_why(table):
    performance, fairness = judge(table, threshold_rule="published", threshold_value=None)
    change = rows(fairness, **CHANGE, metric=["eodd", "eop"])
    assert set(change["reason"]) == {NO_VERDICT}
    assert set(change["verdict"]) == {""}
    rule = "published: balanced on the evaluated patients, per version"
    assert set(rows(performance, task=NAME)["threshold_rule"]) == {rule}
    thresholds = rows(performance, metric="threshold")
    assert set(thresholds["value"]) <= {0.2, 0.8}
    assert (thresholds["reason"] == "").all()


def test_one_group_only_has_no_gap(table):
    women = table[table["sex"] == "Female"]
    performance, fairness = judge(women)
    for metric in ("eodd", "eop", "gap_auroc"):
        row = one(fairness, **CHANGE, metric=metric)
        assert np.isnan(row["value"])
        assert (row["verdict"], np.isnan(row["p_value"])) == ("not estimable", True)
        assert "no second group with enough patients" in row["reason"]
    everyone, group = (rows(performance, attribute=a, group=g, metric="brier") for a, g in (("", ""), ("sex", "Female")))
    same(everyone[["value", "ci_low", "ci_high", "n"]], group[["value", "ci_low", "ci_high", "n"]])
    assert one(performance, metric="sensitivity", attribute="", version="change")["verdict"] == "lower"


def test_nobody_with_a_known_group_has_no_row(table):
    performance, fairness = judge(table.assign(sex=None))
    assert fairness.empty
    assert set(performance.loc[performance["n"] > 0, "attribute"]) == {""}


@pytest.mark.parametrize("label", [0, 1])
def test_constant_labels_leave_what_needs_both_undefined(table, label):
    performance, fairness = judge(table[table[f"{NAME}__label"] == label])
    everyone = {"attribute": "", "version": "change"}
    assert np.isnan(one(performance, **everyone, metric="auroc")["value"])
    rate, other = ("sensitivity", "specificity") if label else ("specificity", "sensitivity")
    assert one(performance, **everyone, metric=rate)["original"] == pytest.approx(0.9)
    assert np.isnan(one(performance, **everyone, metric=other)["original"])
    row = one(fairness, **CHANGE, metric="eodd")
    assert row["value"] == pytest.approx(0.4 * label, abs=1e-6)
    assert row["verdict"] == ("widened" if label else "within chance")
    eop = one(fairness, **CHANGE, metric="eop")
    assert eop["verdict"] == ("widened" if label else "not estimable")
    assert one(fairness, **CHANGE, metric="gap_auroc")["verdict"] == "not estimable"


def test_a_comparison_of_a_copy_detects_nothing(table):
    copy = compare(pd.concat([table, table.assign(mitigation="copy")]), SPEC, hand.options())
    change = rows(copy, version="change")
    assert set(change["value"]) == {0}
    assert set(rows(change, metric=["eodd", "eop", "gap_auroc"])["verdict"]) == {"no detectable effect"}
    assert set(rows(change, metric=["sensitivity", "auroc"], attribute="")["verdict"]) == {"within chance"}
    assert set(rows(change, metric="gap_sensitivity")["verdict"]) == {"within chance"}


def test_a_comparison_reversed_turns_every_change(table):
    """Mitigated and unmitigated exchanged: changes turn their sign, p of the gap stays."""
    plain = table.assign(**{f"{NAME}__reconstructed": table[f"{NAME}__original"]})
    pairs = [(plain, table), (table, plain)]
    there, back = (compare(pd.concat([a, b.assign(mitigation="m")]), SPEC, hand.options()) for a, b in pairs)
    for metric in ("eodd", "eop"):
        a, b = (one(long, attribute="sex", version="change", metric=metric) for long in (there, back))
        np.testing.assert_allclose([a["change"], a["p_value"]], [-b["change"], b["p_value"]], atol=1e-6)
        assert (a["verdict"], b["verdict"]) == ("harmed", "helped")
    changes = [rows(long, metric="gap_sensitivity")["value"].to_numpy() for long in (there, back)]
    np.testing.assert_allclose(changes[0], -changes[1], atol=1e-6)


MIXED = CohortSpec(
    "mixed",
    "Mixed",
    "mri",
    (Task("grade", "classification", "median"), Task("mean", "classification", "mean"), Task("tumour", "segmentation", "mean")),
    (Attribute("sex", ("Female", "Male")),),
    DegradationSpec("mri_radial", (4.0,), 4.0),
)


def slices() -> pd.DataFrame:
    """Patient a has three slices, b two, c one; the second slice of b has no reconstruction."""
    frame = pd.DataFrame({"patient_id": list("aaabbc"), "sex": ["Female"] * 3 + ["Male"] * 3})
    frame = frame.assign(example_id=[f"s{i}" for i in range(6)], split="test", level=4.0, reconstructor="unet")
    frame["grade__label"] = [1.0, 1, 1, 0, 0, 1]
    frame["grade__original"] = [0.1, 0.9, 0.6, 0.3, 0.9, 0.7]
    frame["grade__reconstructed"] = [0.2, 0.4, 0.9, 0.5, np.nan, 0.6]
    for version in ("label", "original", "reconstructed"):
        frame[f"mean__{version}"] = frame[f"grade__{version}"]
    frame["tumour__label"] = [10.0, 0, 20, 30, 30, 0]
    frame["tumour__original"] = [0.8, np.nan, 0.6, 0.5, 0.9, np.nan]
    frame["tumour__reconstructed"] = [0.7, 0.0, 0.5, 0.3, np.nan, np.nan]
    return frame


@pytest.mark.parametrize(
    ("task", "empty", "before", "after"),
    [
        (0, "undefined", [0.6, 0.3, 0.7], [0.4, 0.5, 0.6]),
        (1, "undefined", [1.6 / 3, 0.3, 0.7], [0.5, 0.5, 0.6]),
        (2, "undefined", [0.7, 0.5, np.nan], [0.6, 0.3, np.nan]),
        (2, "one", [0.8, 0.5, 1.0], [0.4, 0.3, 1.0]),
        (2, "zero", [1.4 / 3, 0.5, 0.0], [0.4, 0.3, 0.0]),
    ],
)
def test_patients_by_hand(task, empty, before, after):
    study = studies(slices(), MIXED)[0]
    found = units(study, MIXED.tasks[task], study.test, empty)
    assert (found.unit, found.paired, found.note) == ("patient", True, "")
    np.testing.assert_allclose(found.original, [before])
    np.testing.assert_allclose(found.reconstructed, [after])
    np.testing.assert_array_equal(found.label, [np.nan] * 3 if task == 2 else [1, 0, 1])
    np.testing.assert_array_equal(found.groupings[1].code, [0, 1, 1])


def test_dice_through_the_assessment_by_hand():
    """Women lose 0.1 of Dice, men nothing: SER 1 -> 2, gap 0 -> 0.1; the patients' two slices count as their mean."""
    size = 40
    patient = np.repeat(np.arange(2 * size), 2)
    women, wobble = patient < size, np.tile([0.05, -0.05], 2 * size)
    frame = pd.DataFrame({"example_id": [f"s{i:03d}" for i in range(4 * size)], "patient_id": [f"p{p:02d}" for p in patient]})
    frame = frame.assign(split="test", level=4.0, reconstructor="unet", sex=np.where(women, "Female", "Male"), tumour__label=50.0)
    frame["tumour__original"] = 0.9 + wobble
    noise = np.repeat(np.tile([0.01, -0.01], size), 2)
    frame["tumour__reconstructed"] = 0.9 + wobble - 0.1 * women + noise
    performance, fairness = judge(frame, MIXED, conventions=("paper", "estimable"))
    everyone = one(performance, metric="dice", attribute="", version="change")
    np.testing.assert_allclose([everyone["original"], everyone["reconstructed"]], [0.9, 0.85], atol=1e-6)
    assert [everyone[c] for c in ("unit", "n", "n_patients", "verdict")] == ["patient", 80, 80, "lower"]
    for convention in ("paper", "estimable"):
        for metric, before, after in (("ser", 1.0, 2.0), ("delta_dice", 0.0, 0.1)):
            row = one(fairness, **{**CHANGE, "convention": convention}, metric=metric)
            np.testing.assert_allclose([row["original"], row["reconstructed"]], [before, after], rtol=1e-4, atol=1e-6)
            assert row["verdict"] == "widened"
            assert "Dice of Female changed by -0.100" in row["reason"]
    few = judge(frame, MIXED, min_patients=60)
    row = one(few[0], metric="dice", attribute="", version="change")
    assert row["verdict"] == "lower"
    assert one(few[1], **CHANGE, metric="ser")["verdict"] == "not estimable"
    nobody = one(judge(frame, MIXED, min_patients=81)[0], metric="dice", attribute="", version="change")
    assert (nobody["verdict"], nobody["reason"]) == ("not estimable", "fewer than 81 patients")


def test_a_note_about_patients_stands_beside_the_first_number(table):
    spec = CohortSpec("hand", "Hand", "xray", (Task(NAME, "classification", "median"),), SPEC.attributes, SPEC.degradation)
    again = table.iloc[[0, 100]].assign(example_id=["again", "anew"])
    again[f"{NAME}__label"] = 1 - again[f"{NAME}__label"]
    performance, _ = judge(pd.concat([table, again]), spec)
    row = one(performance, metric="auroc", attribute="", version="original")
    assert row["reason"] == "2 patients have images with different labels and were left out"
    assert [row["n"], row["unit"]] == [238, "patient"]


def test_results_on_disk(tmp_path, found):
    write_results(tmp_path, performance=found[0], fairness=found[1])
    for name, wanted in zip(("performance", "fairness"), found):
        read = read_results(tmp_path, name)
        pd.testing.assert_frame_equal(hand.numeric(read[list(wanted.select_dtypes("number"))]), hand.numeric(wanted), check_dtype=False)
        assert (read["verdict"].fillna("") == wanted["verdict"]).all()
    with pytest.raises(FileNotFoundError, match=r"no results at .*comparison.csv: run `fairrecon assess` first"):
        read_results(tmp_path, "comparison")
