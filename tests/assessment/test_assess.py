"""The long tables against hand-computed numbers and outside oracles, and the verdicts on planted
and absent harm.
"""

import jax
import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equal_opportunity_difference, equalized_odds_difference
from sklearn.metrics import brier_score_loss, roc_auc_score

from fairrecon_jax import metrics
from fairrecon_jax.assessment import COLUMNS, assess
from fairrecon_jax.assessment.rows import TEXT
from tests.support import predictions_fake as fake
from tests.support.find import AT, evaluated, one, rows, tau


def test_columns_and_types(harmed):
    for table in harmed[1:]:
        assert tuple(table.columns) == COLUMNS
        for column in COLUMNS:
            values = table[column]
            assert (
                values.map(lambda v: isinstance(v, str)).all()
                if column in TEXT
                else pd.api.types.is_numeric_dtype(values)
            )


def test_one_value_a_row(harmed):
    key = [
        "task",
        "attribute",
        "label_stratum",
        "reconstructor",
        "level",
        "mitigation",
        "seed",
        "metric",
        "convention",
        "version",
    ]
    assert not harmed[1].duplicated([*key, "group"]).any()
    gaps = harmed[2][harmed[2]["metric"].isin(["eodd", "eop", "gap_auroc", "gap_psnr"])]
    assert not gaps.duplicated([c for c in key if c != "label_stratum"]).any()
    assert not harmed[2].duplicated([*key, "group"]).any()


def test_every_cell_is_there(harmed):
    _, performance, fairness = harmed
    expected = {
        (t.name, a.name, level)
        for t in fake.XRAY.tasks
        for a in fake.XRAY.attributes
        for level in (1e5, 1e4)
    }
    for metric in ("eodd", "eop"):
        found = rows(fairness, metric=metric, version="change", convention="worst_case")
        assert set(zip(found["task"], found["attribute"], found["level"])) == expected
    everyone = rows(performance, attribute="", version="change", metric="auroc")
    assert set(zip(everyone["task"], everyone["level"])) == {
        (t.name, level) for t in fake.XRAY.tasks for level in (1e5, 1e4)
    }


@pytest.mark.parametrize("group", ["", "Female", "Male"])
def test_scores_agree_with_scikit_learn(harmed, group):
    table, performance, _ = harmed
    part = evaluated(table)
    part = part[part["sex"] == group] if group else part
    where = {**AT, "task": "edema", "attribute": "sex" if group else "", "group": group}
    for version, column in (("original", "o"), ("reconstructed", "r")):
        np.testing.assert_allclose(
            one(performance, **where, metric="auroc", version=version)["value"],
            roc_auc_score(part["y"], part[column]),
        )
        expected = brier_score_loss(part["y"], part[column])
        np.testing.assert_allclose(
            one(performance, **where, metric="brier", version=version)["value"], expected, rtol=1e-6
        )
        with jax.enable_x64(True):
            error = metrics.calibration_error(part[column].to_numpy(), part["y"].to_numpy()).value
        np.testing.assert_allclose(
            one(performance, **where, metric="calibration_error", version=version)["value"],
            error,
            rtol=1e-12,
        )
        decision = part[column] >= tau(performance)
        for metric, label in (("sensitivity", 1), ("specificity", 0)):
            rate = (decision[part["y"] == label] == label).mean()
            np.testing.assert_allclose(
                one(performance, **where, metric=metric, version=version)["value"], rate, rtol=1e-12
            )


@pytest.mark.parametrize("attribute", ["sex", "age_group"])
def test_gaps_agree_with_fairlearn(harmed, attribute):
    table, performance, fairness = harmed
    part = evaluated(table).dropna(subset=[attribute])
    for version, column in (("original", "o"), ("reconstructed", "r")):
        args = part["y"], part[column] >= tau(performance)
        where = {**AT, "task": "edema", "attribute": attribute, "version": version}
        for convention, agg in (
            ("worst_case", "worst_case"),
            ("mean", "mean"),
            ("worst_case_estimable", "worst_case"),
        ):
            expected = equalized_odds_difference(*args, sensitive_features=part[attribute], agg=agg)
            np.testing.assert_allclose(
                one(fairness, **where, metric="eodd", convention=convention)["value"],
                expected,
                atol=1e-12,
            )
        expected = equal_opportunity_difference(*args, sensitive_features=part[attribute])
        np.testing.assert_allclose(
            one(fairness, **where, metric="eop", convention="worst_case")["value"],
            expected,
            atol=1e-12,
        )


def test_counts_are_honest(harmed):
    table, performance, fairness = harmed
    part = evaluated(table)
    changed = (part["o"] >= tau(performance)) != (part["r"] >= tau(performance))
    for group in ("Female", "Male"):
        mine = part["sex"] == group
        row = one(
            performance,
            **AT,
            task="edema",
            attribute="sex",
            group=group,
            metric="auroc",
            version="change",
        )
        expected = [
            mine.sum(),
            part["patient_id"][mine].nunique(),
            (part["y"][mine] == 1).sum(),
            (part["y"][mine] == 0).sum(),
        ]
        assert [row[c] for c in ("n", "n_patients", "n_pos", "n_neg", "n_changed")] == [
            *expected,
            (mine & changed).sum(),
        ]
    row = one(
        fairness,
        **AT,
        task="edema",
        attribute="sex",
        metric="eodd",
        convention="worst_case",
        version="change",
    )
    known = part["sex"].notna()
    assert [row["n"], row["n_changed"]] == [known.sum(), (known & changed).sum()]
    per_group = one(
        fairness, **AT, task="edema", attribute="sex", metric="gap_sensitivity", group="Female"
    )
    assert per_group["n"] == ((part["sex"] == "Female") & (part["y"] == 1)).sum()


def test_change_rows_add_up(harmed):
    for table in harmed[1:]:
        change = table[
            (table["version"] == "change")
            & ~table["metric"].isin(["gap_sensitivity", "gap_specificity"])
        ]
        assert len(change)
        np.testing.assert_allclose(
            change["change"], change["reconstructed"] - change["original"], atol=1e-12
        )
        np.testing.assert_allclose(change["value"], change["change"], atol=1e-12)
        whole = change[change["original"] != 0]
        np.testing.assert_allclose(
            whole["percent"], 100 * whole["change"] / whole["original"], atol=1e-9
        )
        inside = change.dropna(subset=["ci_low"])
        assert (inside["ci_low"] <= inside["ci_high"]).all()
        assert (inside["std_error"] >= 0).all()


def test_planted_harm_is_found_and_named(harmed):
    _, _, fairness = harmed
    for metric in ("eodd", "eop"):
        for task in ("edema", "effusion"):
            for convention in ("worst_case", "worst_case_estimable"):
                row = one(
                    fairness,
                    **AT,
                    task=task,
                    attribute="sex",
                    metric=metric,
                    version="change",
                    convention=convention,
                )
                assert (row["verdict"], row["label_stratum"]) == ("widened", "positive")
                assert row["group"] in (
                    "Female",
                    "Male",
                )  # with two groups both deviate by as many standard errors
                assert row["p_adjusted"] <= 0.05
                assert f"sensitivity of {row['group']} changed by -" in row["reason"]
                assert np.isfinite(row["mde"])
    row = one(
        fairness, **AT, task="edema", attribute="sex", metric="gap_sensitivity", group="Female"
    )
    assert row["verdict"] == "shifted"
    assert row["ci_high"] < 0
    row = one(
        fairness,
        **AT,
        task="edema",
        attribute="sex",
        metric="gap_auroc",
        version="change",
        convention="worst_case_estimable",
    )
    assert row["verdict"] == "widened"


def test_label_weights_reach_the_test_and_the_method(harmed, quick):
    table, _, fairness = harmed
    where = {
        **AT,
        "task": "edema",
        "attribute": "sex",
        "version": "change",
        "convention": "worst_case",
    }
    assert (
        "labels weighted 0.5 (false-positive rate) and 1 (sensitivity)"
        in one(fairness, **where, metric="eodd")["method"]
    )
    assert "weighted" not in one(fairness, **where, metric="eop")["method"]
    p = {}
    for weights in ((1.0, 1e-6), (1e-6, 1.0)):
        found = assess(
            table[table["level"] == 1e4],
            fake.XRAY,
            quick(label_weights=weights, conventions=("worst_case",), auroc_gaps=False),
        )[1]
        p[weights] = one(found, **where, metric="eodd")["p_value"]
        assert (
            f"{weights[0]:g} (false-positive rate)" in one(found, **where, metric="eodd")["method"]
        )
    assert p[1e-6, 1.0] <= 0.05 < p[1.0, 1e-6]


def test_an_innocent_attribute_is_within_chance(harmed):
    _, _, fairness = harmed
    found = rows(
        fairness,
        **AT,
        attribute="age_group",
        metric="eodd",
        version="change",
        convention="worst_case",
    )
    assert set(found["verdict"]) == {"within chance"}
    assert found["reason"].str.contains("p = ").all()
    assert (
        rows(fairness, attribute="age_group", metric=["gap_sensitivity", "gap_specificity"])[
            "verdict"
        ]
        == "within chance"
    ).all()


def test_the_published_convention_has_no_verdict(harmed):
    found = rows(harmed[2], convention="mean", version="change", metric="eodd")
    assert set(found["verdict"]) == {""}
    assert found["p_adjusted"].isna().all()
    assert found["p_value"].between(0, 1).all()
    assert found["method"].str.contains("one-tailed").all()


def test_loss_of_everyone_is_a_row_of_its_own(harmed):
    _, performance, _ = harmed
    row = one(performance, **AT, task="edema", attribute="", metric="sensitivity", version="change")
    assert (row["verdict"], row["family"]) == (
        "lower",
        "sensitivity of everyone, level 10000, mitigation none",
    )
    assert "sign flips" in row["method"]
    assert (
        one(performance, **AT, task="edema", attribute="", metric="specificity", version="change")[
            "verdict"
        ]
        == "within chance"
    )
    assert (rows(performance, attribute="sex", version="change")["verdict"] == "").all()


def test_common_loss_is_no_gap(quick):
    performance, fairness = assess(fake.xray(loss=1.5), fake.XRAY, quick())
    assert (
        one(performance, **AT, task="edema", attribute="", metric="sensitivity", version="change")[
            "verdict"
        ]
        == "lower"
    )
    assert set(
        rows(fairness, metric="eodd", version="change", convention="worst_case")["verdict"]
    ) == {"within chance"}


def test_holm_within_each_family(harmed):
    table = pd.concat(harmed[1:])
    table = table[
        (table["family"] != "")
        & table["p_value"].notna()
        & (table["convention"] != "worst_case_estimable")
    ]
    assert set(table["family"]) >= {
        "eodd, level 10000, mitigation none",
        "eop, level 100000, mitigation none",
    }
    for _, family in table.groupby("family"):
        p = np.sort(family["p_value"].to_numpy())
        expected = np.minimum(np.maximum.accumulate(p * np.arange(len(p), 0, -1)), 1)
        np.testing.assert_allclose(np.sort(family["p_adjusted"]), expected, atol=1e-12)


def test_the_chance_floor_is_above_zero(harmed):
    _, _, fairness = harmed
    found = rows(fairness, metric="eodd", convention="worst_case")
    assert (found["permutation_null"] > 0.01).all()
    mean = rows(fairness, metric="eodd", convention="mean")
    assert (
        mean["permutation_null"].to_numpy() <= found["permutation_null"].to_numpy() + 1e-12
    ).all()
    original = rows(found, version="original", task="edema", attribute="sex")
    assert original["permutation_null"].nunique() == 1  # the same originals in both cells


def test_results_depend_on_the_seed_alone(harmed, quick):
    table, performance, fairness = harmed
    same = {"auroc_gaps": True, "conventions": ("worst_case", "mean", "worst_case_estimable")}
    again = assess(table.sample(frac=1, random_state=3), fake.XRAY, quick(**same))
    pd.testing.assert_frame_equal(again[0], performance)
    pd.testing.assert_frame_equal(again[1], fairness)
    other, _ = assess(table, fake.XRAY, quick(**same, seed=1))
    assert not np.allclose(other["ci_low"].dropna(), performance["ci_low"].dropna())
    np.testing.assert_array_equal(other["value"], performance["value"])


def test_unknown_labels_and_groups_are_left_out(harmed, quick):
    table = harmed[0].copy()
    blank = table["example_id"].isin(table["example_id"].unique()[-60:])
    table.loc[blank, "edema__label"] = np.nan
    performance, fairness = assess(table, fake.XRAY, quick())
    part = evaluated(table).dropna(subset=["y"])
    row = one(
        performance, **AT, task="edema", attribute="", metric="auroc", version="reconstructed"
    )
    assert row["n"] == len(part)
    np.testing.assert_allclose(row["value"], roc_auc_score(part["y"], part["r"]))
    row = one(
        fairness,
        **AT,
        task="edema",
        attribute="sex",
        metric="eodd",
        version="change",
        convention="worst_case",
    )
    assert row["n"] == part["sex"].notna().sum()
    assert row["n_patients"] == part["sex"].notna().sum()


def test_incomplete_pairs_are_left_out(harmed, quick):
    table = harmed[0].copy()
    lost = (table["level"] == 1e4) & table["example_id"].isin(table["example_id"].unique()[-40:])
    table.loc[lost, "edema__reconstructed"] = np.nan
    performance, _ = assess(
        table,
        fake.XRAY,
        quick(threshold_rule="fixed", threshold_value=0.5, conventions=("worst_case",)),
    )
    for level, count in ((1e4, 260), (1e5, 300)):
        row = one(
            performance,
            **{**AT, "level": level},
            task="edema",
            attribute="",
            metric="auroc",
            version="original",
        )
        part = evaluated(table, level=level).dropna(subset=["r"])
        assert row["n"] == len(part) == count
        np.testing.assert_allclose(row["value"], roc_auc_score(part["y"], part["o"]))


def test_a_diagnoser_at_chance_gets_no_verdict(harmed, quick):
    table = harmed[0].copy()
    names = table["example_id"].unique()
    noise = dict(zip(names, np.random.default_rng(5).random(len(names))))
    table["edema__original"] = table["example_id"].map(noise)
    performance, fairness = assess(table, fake.XRAY, quick())
    found = rows(
        fairness, task="edema", metric=["eodd", "eop"], version="change", convention="worst_case"
    )
    assert set(found["verdict"]) == {"at chance"}
    assert found["reason"].str.contains("holds 0.5").all()
    assert found["p_value"].isna().all()
    assert (rows(fairness, task="edema", metric="gap_sensitivity")["verdict"] == "at chance").all()
    everyone = rows(
        performance,
        task="edema",
        attribute="",
        version="change",
        metric=["auroc", "sensitivity", "specificity", "brier"],
    )
    assert set(everyone["verdict"]) == {"at chance"}
    other = rows(
        fairness,
        task="effusion",
        metric="eodd",
        version="change",
        convention="worst_case",
        attribute="sex",
        level=1e4,
    )
    assert set(other["verdict"]) == {"widened"}


def test_too_few_patients_are_not_estimable(harmed, quick):
    table = harmed[0].copy()
    patients = table.loc[
        (table["sex"] == "Female") & (table["split"] == "test"), "patient_id"
    ].unique()
    table.loc[table["patient_id"].isin(patients[25:]), "sex"] = None
    _, fairness = assess(
        table, fake.XRAY, quick(conventions=("worst_case", "worst_case_estimable"))
    )
    row = one(
        fairness,
        **AT,
        task="edema",
        attribute="sex",
        metric="eodd",
        version="change",
        convention="worst_case",
    )
    assert row["verdict"] == "not estimable"
    assert "Female" in row["reason"]
    assert "too few patients" in row["reason"]
    assert np.isfinite(row["value"])
    assert np.isnan(
        one(
            fairness,
            **AT,
            task="edema",
            attribute="sex",
            metric="eodd",
            version="change",
            convention="worst_case_estimable",
        )["value"]
    )
    cell = one(
        fairness, **AT, task="edema", attribute="sex", metric="gap_sensitivity", group="Female"
    )
    assert (cell["verdict"], np.isnan(cell["p_value"])) == ("not estimable", True)
    assert "too few patients" in cell["reason"]


def test_intersections_are_attributes(harmed, quick):
    crossed = {
        "intersections": (("sex", "age_group"),),
        "threshold_rule": "per_version",
        "conventions": ("worst_case",),
    }
    performance, fairness = assess(harmed[0], fake.XRAY, quick(**crossed))
    assert set(rows(performance, attribute="sex x age_group")["group"]) == {
        f"{s} x {a}" for s in ("Female", "Male") for a in ("young", "old")
    }
    row = one(
        fairness,
        **AT,
        task="edema",
        attribute="sex x age_group",
        metric="eodd",
        version="change",
        convention="worst_case",
    )
    assert row["reference_group"] == "Female x young"
    with pytest.raises(ValueError, match=r"cannot cross \('sex', 'site'\)"):
        assess(harmed[0], fake.XRAY, quick(intersections=(("sex", "site"),)))


def test_mitigations_and_seeds_are_cells_of_their_own(quick):
    table = fake.xray(harm=1.5, cells=[(1e4, "unet")])
    mitigated = fake.xray(harm=0.0, cells=[(1e4, "unet")]).assign(mitigation="reweighting")
    _, fairness = assess(pd.concat([table, mitigated]), fake.XRAY, quick())
    found = rows(
        fairness,
        task="edema",
        attribute="sex",
        metric="eodd",
        version="change",
        convention="worst_case",
    ).set_index("mitigation")
    assert found["verdict"].to_dict() == {"none": "widened", "reweighting": "within chance"}
    assert found.loc["reweighting", "family"] == "eodd, level 10000, mitigation reweighting"
    both = pd.concat([fake.xray(harm=1.5), fake.xray(harm=1.5).assign(seed=1)])
    _, fairness = assess(both, fake.XRAY, quick())
    assert set(fairness["seed"]) == {0, 1}
    assert not fairness.duplicated(
        [
            "seed",
            "task",
            "attribute",
            "group",
            "label_stratum",
            "level",
            "metric",
            "convention",
            "version",
        ]
    ).any()


def test_resampling_images_of_one_patient_is_too_narrow(quick):
    single = fake.xray(patients=450, images=1)
    parts = [single.assign(example_id=single["example_id"] + f"/{i}") for i in range(4)]
    table = pd.concat(parts)
    width = {}
    for resample in ("patient", "image"):
        performance, _ = assess(
            table,
            fake.XRAY,
            quick(resample=resample, threshold_rule="per_version", conventions=("worst_case",)),
        )
        row = one(
            performance, **AT, task="edema", attribute="", metric="sensitivity", version="original"
        )
        width[resample] = row["std_error"]
    assert width["patient"] > 1.6 * width["image"]  # four copies of each image: a factor of two
    assert (
        one(performance, **AT, task="edema", attribute="", metric="auroc", version="original")[
            "std_error"
        ]
        > 1.6 * 0.01
    )


def test_image_quality(harmed):
    table, performance, fairness = harmed
    part = evaluated(table)
    row = one(performance, **AT, metric="psnr", attribute="")
    assert (row["version"], row["unit"], row["task"], row["n"]) == (
        "reconstructed",
        "image",
        "",
        300,
    )
    np.testing.assert_allclose(row["value"], part["psnr"].mean(), rtol=1e-6)
    np.testing.assert_allclose(row["std_error"], part["psnr"].std() / np.sqrt(300), rtol=0.3)
    means = part.groupby("sex")["psnr"].mean()
    np.testing.assert_allclose(
        one(performance, **AT, metric="psnr", attribute="sex", group="Female")["value"],
        means["Female"],
        rtol=1e-6,
    )
    gap = one(fairness, **AT, metric="gap_psnr", attribute="sex", convention="worst_case")
    np.testing.assert_allclose(gap["value"], means.max() - means.min(), atol=1e-4)
    assert 0 < gap["permutation_null"] < 1
    lpips = one(performance, **AT, metric="lpips")
    assert np.isnan(lpips["value"])
    assert "no column 'lpips'" in lpips["reason"]


def test_identical_images_are_left_out_of_psnr_and_counted(harmed, quick):
    table = harmed[0].copy()
    test_rows = np.flatnonzero((table["split"] == "test") & (table["level"] == 1e4))
    table.loc[table.index[test_rows[:7]], "psnr"] = np.inf
    performance, _ = assess(table, fake.XRAY, quick())
    row = one(performance, **AT, metric="psnr", attribute="")
    assert row["n"] == 293
    assert "7 images equal their originals" in row["reason"]
    assert np.isfinite(row["value"])
