"""Reading the long tables: validation, order, the rows that are shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import long_tables, select
from fairrecon_jax.report.select import Findings
from fairrecon_jax.types import Task
from tests.support import report_fake as fake
from tests.support.report_findings import findings_of, no_findings


@pytest.fixture(scope="module")
def mri() -> Findings:
    return findings_of(fake.mri_spec(), ("irsde", "identity", "unet"))


def test_missing_columns_are_named(mri):
    with pytest.raises(ValueError, match=r"fairness table lacks the columns \['verdict'\]"):
        Findings.of(mri.spec, mri.performance, mri.fairness.drop(columns="verdict"))


def test_cleaning_gives_one_type_to_every_column():
    raw = pd.DataFrame([{c: None for c in (*long_tables.TEXT, *long_tables.NUMBERS)}])
    raw.loc[0, ["version", "value", "n"]] = ["change", 0.25, "7"]
    row = long_tables.clean(raw, "performance").iloc[0]
    assert row["task"] == ""
    assert row["mitigation"] == "none"
    assert row["change"] == 0.25
    assert row["n"] == 7.0
    assert np.isnan(row["ci_low"])


def test_order_of_levels_reconstructors_and_mitigations(mri):
    assert mri.levels == [4.0, 8.0, 16.0]
    assert mri.reconstructors == ["unet", "irsde", "identity"]
    assert mri.mitigations == ["none"]
    assert mri.headline_level == 8.0


def test_levels_of_photon_counts_run_from_mild_to_severe():
    spec = fake.xray_spec(1)
    cells = [("unet", level, "none") for level in (3e3, 1e5)]
    study = Findings.of(spec, fake.performance(spec, cells), fake.fairness(spec, cells))
    assert study.levels == [1e5, 3e3]
    assert study.headline_level == 1e5, (
        "the specification's level is absent, so the mildest one is shown"
    )


def test_other_photon_counts_stand_mildest_first():
    spec, cells = fake.xray_spec(1), [("unet", level, "none") for level in (3e3, 1e5)]
    frame = fake.performance(spec, cells)
    frame["level"] = frame["level"].replace({1e5: 700.0, 3e3: 900.0})
    assert Findings.of(spec, frame, fake.fairness(spec, cells).iloc[:0]).levels == [900.0, 700.0]


def test_levels_outside_the_specification_are_kept(mri):
    frame = mri.performance.copy()
    frame.loc[frame["level"] == 16.0, "level"] = 32.0
    study = Findings.of(mri.spec, frame, mri.fairness.iloc[:0])
    assert study.levels == [4.0, 8.0, 32.0]


def test_only_the_shown_convention_is_picked(mri):
    assert set(mri.fairness["convention"]) == {"worst_case_estimable", "mean", ""}
    assert set(mri.pick("fairness", metric="eodd")["convention"]) == {"worst_case_estimable"}
    assert mri.conventions == ["worst_case_estimable", "mean"]


def test_another_convention_can_be_shown(mri):
    other = Findings.of(mri.spec, mri.performance, mri.fairness, "mean")
    assert set(other.pick("fairness", metric="eodd")["convention"]) == {"mean"}
    assert (other.gap_changes()["verdict"] == "").all()


def test_an_absent_convention_falls_back_to_one_that_was_computed(mri):
    assert Findings.of(mri.spec, mri.performance, mri.fairness, "nonsense").convention in {
        "worst_case_estimable",
        "mean",
    }


def test_each_task_has_its_own_headline_gap(mri):
    rows = mri.gap_changes()
    assert set(rows.loc[rows["task"] == "tumour", "metric"]) == {"ser"}
    assert set(rows.loc[rows["task"] != "tumour", "metric"]) == {"eodd"}
    assert set(rows["level"]) == {8.0}


def test_the_unit_follows_the_task(mri):
    image = mri.performance.assign(unit="image", value=-1.0)
    both = Findings.of(mri.spec, pd.concat([image, mri.performance]), mri.fairness)
    rows = both.pick("performance", metric="auroc", task="grade", version="original")
    assert set(rows["unit"]) == {"patient"}
    assert (rows["value"].dropna() > 0).all()


def test_a_unit_that_is_the_only_one_is_kept(mri):
    only = Findings.of(mri.spec, mri.performance.assign(unit="image"), mri.fairness)
    assert len(only.pick("performance", metric="auroc", task="grade")) > 0


def test_one_threshold_rule_is_shown(mri):
    other = mri.performance[mri.performance["metric"] == "auroc"].assign(
        threshold_rule="fixed", value=-1.0
    )
    both = Findings.of(mri.spec, pd.concat([mri.performance, other]), mri.fairness)
    rows = both.pick("performance", metric="auroc", attribute="", version="original")
    assert set(rows["threshold_rule"]) == {"balanced on validation originals"}


def test_seeds_are_merged_and_verdicts_must_agree(mri):
    rows = mri.fairness[
        (mri.fairness["metric"] == "eodd") & (mri.fairness["convention"] == "worst_case_estimable")
    ]
    rows = (
        rows[rows["version"] == "change"]
        .head(2)
        .assign(
            verdict=["harmed", "harmed"], change=[0.1, 0.2], ci_low=[0.0, 0.1], ci_high=[0.2, 0.3]
        )
    )
    second = rows.assign(
        seed=1.0, change=[0.3, 0.2], ci_high=[0.6, 0.25], verdict=["no difference shown", "harmed"]
    )
    merged = long_tables.merge_seeds(pd.concat([rows, second], ignore_index=True))
    assert len(merged) == 2
    assert merged["change"].tolist() == pytest.approx([0.2, 0.2])
    assert merged["ci_high"].tolist() == pytest.approx([0.6, 0.3])
    assert merged["ci_low"].tolist() == pytest.approx([0.0, 0.1])
    assert merged["verdict"].tolist() == ["differs between seeds", "harmed"]
    assert list(merged.columns) == list(rows.columns)


def test_where_a_gap_changed_is_a_result_that_seeds_may_disagree_on(mri):
    rows = mri.fairness[
        (mri.fairness["metric"] == "eodd")
        & (mri.fairness["convention"] == "worst_case_estimable")
        & (mri.fairness["version"] == "change")
    ]
    rows = rows.head(2).assign(
        group="Male", label_stratum="positive", verdict="harmed", gap="same", reason="by 0.1"
    )
    second = rows.assign(
        seed=1.0,
        group=["", "Male"],
        label_stratum=["", "positive"],
        gap=["", "same"],
        verdict=["no difference shown", "harmed"],
    )
    merged = long_tables.merge_seeds(
        pd.concat([rows, second.assign(reason=["few", "by 0.1"])], ignore_index=True)
    )
    assert merged[["verdict", "group", "label_stratum", "reason"]].to_numpy().tolist() == [
        ["differs between seeds", "", "", ""],
        ["harmed", "Male", "positive", "by 0.1"],
    ]
    assert merged["gap"].tolist() == ["", "same"]


def test_the_worst_group_is_a_result_too_but_the_groups_beside_the_others_are_not(mri):
    rows = mri.fairness[mri.fairness["metric"].isin(["worst_group_dice", "gap_dice", "gap_score"])]
    second = rows.assign(seed=1.0)
    named = second["metric"].str.startswith("worst") & (second["version"] == "original")
    second.loc[named, "group"] = "another"
    merged = long_tables.merge_seeds(pd.concat([rows, second], ignore_index=True))
    assert len(merged) == len(rows)
    assert set(merged.loc[merged["metric"] == "gap_dice", "group"]) >= {"Female", "Male"}
    worst = merged[(merged["metric"] == "worst_group_dice") & (merged["version"] == "original")]
    assert set(worst["group"]) == {""}


def test_the_worst_group_is_shown_under_every_convention(mri):
    other = Findings.of(mri.spec, mri.performance, mri.fairness, "mean")
    assert len(other.pick("fairness", metric="worst_group_dice")) == len(
        mri.pick("fairness", metric="worst_group_dice")
    )


def test_the_degraded_image_is_no_result_beside_a_reconstruction(mri):
    rows = mri.gap_changes()
    both = dataclasses.replace(mri, fairness=mri.fairness)
    assert set(both.restored(rows)["reconstructor"]) == {"unet", "irsde"}
    alone = Findings.of(
        mri.spec,
        *(t[t["reconstructor"] == "identity"] for t in (mri.performance, mri.fairness)),
    )
    assert set(alone.restored(alone.gap_changes())["reconstructor"]) == {"identity"}


def test_the_row_of_a_method_stands_for_its_networks(mri):
    rows = mri.fairness[
        (mri.fairness["metric"] == "eodd") & (mri.fairness["convention"] == "worst_case_estimable")
    ]
    rows = rows[rows["version"] == "change"].head(2).assign(verdict="harmed", group="Male")
    method = rows.head(1).assign(seed=float("nan"), verdict="no difference shown", change=0.15)
    networks = [rows, rows.assign(seed=1.0), rows.assign(seed=2.0)]
    merged = long_tables.merge_seeds(pd.concat([*networks, method], ignore_index=True))
    assert len(merged) == 2
    by_task = merged.set_index(["task", "attribute", "reconstructor", "level", "mitigation"])
    key = tuple(method.iloc[0][list(by_task.index.names)])
    assert by_task.loc[key, "verdict"] == "no difference shown"
    assert by_task.loc[key, "change"] == 0.15
    assert set(merged["verdict"]) == {"no difference shown", "harmed"}


def test_groups_of_a_performance_stay_apart_when_seeds_are_merged(mri):
    rows = mri.performance
    assert len(
        long_tables.merge_seeds(pd.concat([rows, rows.assign(seed=1.0)], ignore_index=True))
    ) == len(rows)


def test_one_seed_is_left_alone(mri):
    assert long_tables.merge_seeds(mri.performance) is mri.performance


def test_intersections_are_recognised(mri):
    assert mri.intersections == ["sex x age"]
    assert mri.groups("sex x age")[0] == "Female x under 58"
    assert mri.groups("sex") == ["Female", "Male"]


def test_attributes_that_merely_contain_an_x_are_no_intersections(mri):
    frame = mri.performance.copy()
    frame.loc[frame["attribute"] == "sex x age", "attribute"] = "index x ray"
    assert Findings.of(mri.spec, frame, mri.fairness).intersections == []


def test_plain_rows_are_the_unmitigated_ones_where_there_are_any(mri):
    rows = mri.gap_changes()
    half = rows.assign(mitigation=["none", "eodd"] * (len(rows) // 2))
    assert set(mri.plain(half)["mitigation"]) == {"none"}
    assert len(mri.plain(rows.assign(mitigation="eodd"))) == len(rows)


def test_methods_keep_the_order_of_the_report(mri):
    rows = mri.gap_changes()
    assert mri.methods(rows.iloc[::-1]) == [
        ("unet", "none"),
        ("irsde", "none"),
        ("identity", "none"),
    ]


def test_names_of_methods(mri):
    assert mri.method_name("unet", "none") == "U-Net"
    assert mri.method_name("unet", "eodd") == "U-Net + equalised-odds loss"
    assert mri.method_name("stranger", "none") == "stranger"
    assert mri.method_phrase("identity", "none") == "on the degraded image"
    assert mri.method_phrase("unet", "none") == "with U-Net"


def test_titles_fall_back_to_names(mri):
    spec = dataclasses.replace(mri.spec, tasks=(Task("bare", "classification"),))
    study = dataclasses.replace(mri, spec=spec)
    assert study.task_title("bare") == "bare"
    assert study.task_title("unknown") == "unknown"
    assert study.task("unknown") is None


def test_empty_tables_have_an_order_too():
    study = no_findings(fake.mri_spec())
    assert study.levels == []
    assert study.reconstructors == []
    assert study.mitigations == ["none"]
    assert study.headline_level == 8.0
    assert study.gap_changes().empty
    assert study.intersections == []


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("harmed", True),
        ("lower", True),
        ("levelled down", True),
        ("no difference shown", False),
        ("", False),
        ("at chance", False),
        ("not estimable", False),
        ("differs between seeds", False),
    ],
)
def test_which_verdicts_say_that_something_changed(verdict, expected):
    assert select.changed(verdict) is expected


def test_one_returns_the_first_match_or_nothing(mri):
    rows = mri.gap_changes()
    assert select.one(rows, task="tumour")["task"] == "tumour"
    assert select.one(rows, task="absent") is None


def test_metrics_of_tasks():
    tasks = Task("a", "classification"), Task("b", "segmentation")
    assert [select.task_metric(t) for t in tasks] == ["auroc", "dice"]
    assert [select.gap_metric(t) for t in tasks] == ["eodd", "ser"]


def test_what_occurs_in_rows_comes_in_the_specifications_order(mri):
    rows = mri.gap_changes()
    assert [t.name for t in mri.tasks_in(rows)] == [
        t.name for t in mri.spec.tasks if t.name in set(rows["task"])
    ]
    assert mri.tasks_in(rows[rows["task"] == "tumour"])[0].name == "tumour"
    assert mri.tasks_in(rows[:0]) == []
    assert mri.attributes_in(rows[rows["attribute"] == "sex"]) == ["sex"]
    named = mri.pick("performance", attribute="sex")
    first = mri.groups("sex")[0]
    assert mri.groups_in(named, "sex") == mri.groups("sex")
    assert mri.groups_in(named[named["group"] == first], "sex") == [first]
