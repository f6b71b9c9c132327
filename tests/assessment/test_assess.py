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

GAPS = ("eodd", "eop", "gap_auroc", "gap_score")
RATES = ("auroc", "sensitivity", "specificity", "brier")


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
        changes = rows(fairness, metric=metric, version="change", convention="worst_case")
        assert set(zip(changes["task"], changes["attribute"], changes["level"])) == expected
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
            error = metrics.calibration_error(part["y"].to_numpy(), part[column].to_numpy()).value
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
        members = part["sex"] == group
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
            members.sum(),
            part["patient_id"][members].nunique(),
            (part["y"][members] == 1).sum(),
            (part["y"][members] == 0).sum(),
        ]
        assert [row[c] for c in ("n", "n_patients", "n_pos", "n_neg", "n_changed")] == [
            *expected,
            (members & changed).sum(),
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
            (table["version"] == "change") & (table["reference_group"] != "the other groups")
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
                assert (row["verdict"], row["group"]) == ("harmed", "Female")
                assert (row["gap"], row["label_stratum"]) == ("widened", "positive")
                assert row["p_adjusted"] <= 0.05
                assert row["reason"].startswith("sensitivity: Female ")
                assert "points more than Male" in row["reason"]
                assert np.isfinite(row["mde"])
    row = one(
        fairness, **AT, task="edema", attribute="sex", metric="gap_sensitivity", group="Female"
    )
    assert row["verdict"] == "harmed"
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
    assert (row["verdict"], row["group"], row["gap"]) == ("harmed", "Female", "widened")


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
        "labels weighted 0.5 (specificity) and 1 (sensitivity)"
        in one(fairness, **where, metric="eodd")["method"]
    )
    assert "weighted" not in one(fairness, **where, metric="eop")["method"]
    p = {}
    for weights in ((1.0, 1e-6), (1e-6, 1.0)):
        changes = assess(
            table[table["level"] == 1e4],
            fake.XRAY,
            quick(label_weights=weights, conventions=("worst_case",), auroc_gaps=False),
        )[1]
        p[weights] = one(changes, **where, metric="eodd")["p_value"]
        assert f"{weights[0]:g} (specificity)" in one(changes, **where, metric="eodd")["method"]
    assert p[1e-6, 1.0] <= 0.05 < p[1.0, 1e-6]


def test_of_an_innocent_attribute_no_difference_is_shown(harmed):
    _, _, fairness = harmed
    changes = rows(
        fairness,
        **AT,
        attribute="age_group",
        metric="eodd",
        version="change",
        convention="worst_case",
    )
    assert set(changes["verdict"]) == {"no difference shown"}
    assert changes["reason"].str.contains("p = ").all()
    assert (
        rows(fairness, attribute="age_group", metric=["gap_sensitivity", "gap_specificity"])[
            "verdict"
        ]
        == "no difference shown"
    ).all()


def test_the_published_convention_has_no_verdict(harmed):
    changes = rows(harmed[2], convention="mean", version="change", metric="eodd")
    assert set(changes["verdict"]) == {""}
    assert changes["p_adjusted"].isna().all()
    assert changes["p_value"].between(0, 1).all()
    assert changes["method"].str.contains("one-tailed").all()


def test_loss_of_everyone_is_a_row_of_its_own(harmed):
    _, performance, _ = harmed
    row = one(performance, **AT, task="edema", attribute="", metric="sensitivity", version="change")
    assert (row["verdict"], row["family"]) == (
        "lower",
        "secondary: sensitivity of everyone, level 10000, mitigation none",
    )
    assert "sign flips" in row["method"]
    assert (
        one(performance, **AT, task="edema", attribute="", metric="specificity", version="change")[
            "verdict"
        ]
        == "no difference shown"
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
    ) == {"no difference shown"}


def test_holm_within_each_family(harmed, quick):
    options = quick(adjustment="holm", conventions=("worst_case",), auroc_gaps=True)
    table = pd.concat(assess(harmed[0], fake.XRAY, options))
    table = table[(table["family"] != "") & table["p_value"].notna()]
    assert set(table["family"]) == {
        f"secondary: {metric}, level {level}, mitigation none"
        for level in ("10000", "100000")
        for metric in (*GAPS, *(f"{m} of everyone" for m in RATES))
        if (metric, level) != ("eodd", "10000")
    } | {"primary: headline gaps, level 10000"}
    for _, family in table.groupby("family"):
        p = np.sort(family["p_value"].to_numpy())
        expected = np.minimum(np.maximum.accumulate(p * np.arange(len(p), 0, -1)), 1)
        np.testing.assert_allclose(np.sort(family["p_adjusted"]), expected, atol=1e-12)


def test_westfall_and_young_adjust_no_more_than_holm_and_no_less_than_nothing(harmed, quick):
    held = rows(
        assess(harmed[0], fake.XRAY, quick(adjustment="holm", auroc_gaps=True))[1],
        metric=["eodd", "eop", "gap_auroc"],
        version="change",
        convention="worst_case",
    )
    shared = rows(
        harmed[2], metric=["eodd", "eop", "gap_auroc"], version="change", convention="worst_case"
    )
    np.testing.assert_array_equal(shared["p_value"], held["p_value"])
    assert (shared["p_adjusted"] >= shared["p_value"]).all()
    # both count 200 rows: ranks of the smooth tail may differ by a draw
    assert (shared["p_adjusted"].to_numpy() <= held["p_adjusted"].to_numpy() + 2 / 200).all()


def test_the_permutation_null_is_above_zero(harmed):
    _, _, fairness = harmed
    changes = rows(fairness, metric="eodd", convention="worst_case")
    assert (changes["permutation_null"] > 0.01).all()
    mean = rows(fairness, metric="eodd", convention="mean")
    assert (
        mean["permutation_null"].to_numpy() <= changes["permutation_null"].to_numpy() + 1e-12
    ).all()
    original = rows(changes, version="original", task="edema", attribute="sex")
    assert original["permutation_null"].nunique() == 1  # the same originals in both cells


def test_results_depend_on_the_seed_alone(harmed, quick):
    table, performance, fairness = harmed
    same = {"auroc_gaps": True, "conventions": ("worst_case", "mean", "worst_case_estimable")}
    again = assess(table.sample(frac=1, random_state=3), fake.XRAY, quick(**same))
    pd.testing.assert_frame_equal(again[0], performance)
    pd.testing.assert_frame_equal(again[1], fairness)
    other, gaps = assess(table, fake.XRAY, quick(**same, seed=1))
    # intervals are closed forms: only tests and simultaneous limits draw
    columns = ["value", "std_error", "ci_low", "ci_high"]
    pd.testing.assert_frame_equal(other[columns], performance[columns])
    np.testing.assert_array_equal(gaps["value"], fairness["value"])
    for column in ("p_value", "ci_low"):
        assert not np.allclose(gaps[column].dropna(), fairness[column].dropna())
