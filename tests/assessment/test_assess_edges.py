"""What an assessment leaves out and says so: unknown labels, incomplete pairs, diagnosers at
chance, small groups, identical images; and what it keeps apart: seeds, mitigations, intersections.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import assess
from tests.support import hand
from tests.support import predictions_fake as fake
from tests.support.find import AT, evaluated, one, rows


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
    changes = rows(
        fairness, task="edema", metric=["eodd", "eop"], version="change", convention="worst_case"
    )
    assert set(changes["verdict"]) == {"at chance"}
    assert changes["reason"].str.contains("includes 0.5: the diagnosis itself is at chance").all()
    assert changes["p_value"].isna().all()
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
    assert set(other["verdict"]) == {"harmed"}


def test_too_few_patients_are_not_estimable(harmed, quick):
    table = harmed[0].copy()
    patients = table.loc[
        (table["sex"] == "Female") & (table["split"] == "test"), "patient_id"
    ].unique()
    table.loc[table["patient_id"].isin(patients[15:]), "sex"] = None
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
    stratum = one(
        fairness, **AT, task="edema", attribute="sex", metric="gap_sensitivity", group="Female"
    )
    assert (stratum["verdict"], np.isnan(stratum["p_value"])) == ("not estimable", True)
    assert "too few patients" in stratum["reason"]


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
    changes = rows(
        fairness,
        task="edema",
        attribute="sex",
        metric="eodd",
        version="change",
        convention="worst_case",
    ).set_index("mitigation")
    assert changes["verdict"].to_dict() == {
        "none": "harmed",
        "reweighting": "no difference shown",
    }
    assert changes.loc["reweighting", "family"] == (
        "secondary: eodd, level 10000, mitigation reweighting"
    )
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


def test_copies_of_an_image_make_nothing_more_certain(quick):
    """Four copies of each image: the same patients, the same errors of rates and areas."""
    single = fake.xray(patients=450, images=1)
    copied = pd.concat([single.assign(example_id=single["example_id"] + f"/{i}") for i in range(4)])
    where = {**AT, "task": "edema", "attribute": "", "version": "original"}
    alone, many = (
        assess(t, fake.XRAY, quick(conventions=("worst_case",))) for t in (single, copied)
    )
    for metric in ("sensitivity", "auroc", "brier"):
        a, b = (one(t[0], **where, metric=metric) for t in (alone, many))
        np.testing.assert_allclose(b["value"], a["value"], rtol=1e-9)
        np.testing.assert_allclose(b["std_error"], a["std_error"], rtol=0.01)
        assert b["n"] == 4 * a["n"]
        assert b["n_patients"] == a["n_patients"]
    gaps = [
        rows(t[1], metric=["eodd", "eop"], version="change", convention="worst_case")
        for t in (alone, many)
    ]
    np.testing.assert_array_equal(gaps[0]["p_value"], gaps[1]["p_value"])


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
    np.testing.assert_allclose(row["std_error"], part["psnr"].std() / np.sqrt(300), rtol=1e-6)
    means = part.groupby("sex")["psnr"].mean()
    np.testing.assert_allclose(
        one(performance, **AT, metric="psnr", attribute="sex", group="Female")["value"],
        means["Female"],
        rtol=1e-6,
    )
    gap = one(fairness, **AT, metric="gap_psnr", attribute="sex", convention="worst_case")
    np.testing.assert_allclose(gap["value"], means.max() - means.min(), atol=1e-4)
    assert 0 < gap["permutation_null"] < 1
    assert not (performance["metric"] == "lpips").any(), "what no table has is no row"


def test_identical_images_are_left_out_of_psnr_and_counted(harmed, quick):
    table = harmed[0].copy()
    test_rows = np.flatnonzero((table["split"] == "test") & (table["level"] == 1e4))
    table.loc[table.index[test_rows[:7]], "psnr"] = np.inf
    performance, _ = assess(table, fake.XRAY, quick())
    row = one(performance, **AT, metric="psnr", attribute="")
    assert row["n"] == 293
    assert "7 images equal to the original" in row["reason"]
    assert np.isfinite(row["value"])


def test_progress_ends_at_its_total(capsys):
    assess(hand.table(("widened",)), hand.spec(("widened",)), hand.options(), shown=True)
    # everyone and one attribute, of one task
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("assess: comparison 2/2")
    assess(hand.table(("widened",)), hand.spec(("widened",)), hand.options())
    assert not capsys.readouterr().err
