"""Tasks that are judged per patient: medians of scores, means of Dice, empty masks, disagreeing
images.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import assess
from fairrecon_jax.assessment.arrays import studies
from fairrecon_jax.assessment.units import units
from tests.support import predictions_fake as fake
from tests.support.find import one, rows

AT = {"level": 8.0, "reconstructor": "unet"}
PARTS = ("label", "original", "reconstructed")


def dice_means(table, empty=None):
    part = table[(table["split"] == "test") & (table["level"] == 8)].copy()
    if empty is not None:
        for version in ("original", "reconstructed"):
            part[f"tumour__{version}"] = part[f"tumour__{version}"].fillna(empty)
    return part.groupby("patient_id").agg(
        o=("tumour__original", "mean"),
        r=("tumour__reconstructed", "mean"),
        sex=("sex", "first"),
        age=("age_group", "first"),
    )


def test_scores_are_patient_medians(brain):
    table, performance, _ = brain
    part = table[(table["split"] == "test") & (table["level"] == 8)]
    merged = part.groupby("patient_id").agg(
        y=("grade__label", "first"),
        o=("grade__original", "median"),
        r=("grade__reconstructed", "median"),
    )
    for version, column in (("original", "o"), ("reconstructed", "r")):
        row = one(performance, **AT, task="grade", attribute="", metric="auroc", version=version)
        np.testing.assert_allclose(row["value"], roc_auc_score(merged["y"], merged[column]))
        assert (row["unit"], row["n"], row["n_patients"]) == ("patient", len(merged), len(merged))


def test_the_threshold_is_one_of_the_patient_medians(brain):
    table, performance, _ = brain
    medians = (
        table[(table["split"] == "val") & (table["level"] == 8)]
        .groupby("patient_id")["grade__original"]
        .median()
    )
    assert one(performance, **AT, task="grade", metric="threshold", version="original")[
        "value"
    ] in set(medians)


def test_dice_is_the_mean_of_patient_means(brain):
    table, performance, fairness = brain
    means = dice_means(table).dropna(subset=["o"])
    for version, column in (("original", "o"), ("reconstructed", "r")):
        row = one(performance, **AT, task="tumour", attribute="", metric="dice", version=version)
        np.testing.assert_allclose(row["value"], means[column].mean(), rtol=1e-6)
        groups = means.groupby("sex")[column].mean()
        where = {
            **AT,
            "task": "tumour",
            "attribute": "sex",
            "version": version,
            "convention": "worst_case",
        }
        np.testing.assert_allclose(
            one(fairness, **where, metric="delta_dice")["value"], np.ptp(groups), rtol=1e-4
        )
        ratio = (1 - groups).max() / (1 - groups).min()
        np.testing.assert_allclose(one(fairness, **where, metric="ser")["value"], ratio, rtol=1e-5)
    assert row["n"] == len(means)
    np.testing.assert_allclose(row["std_error"], means["r"].std() / np.sqrt(len(means)), rtol=0.3)


def test_planted_harm_of_dice(brain):
    _, performance, fairness = brain
    for metric in ("ser", "delta_dice"):
        row = one(
            fairness,
            **AT,
            task="tumour",
            attribute="sex",
            metric=metric,
            version="change",
            convention="worst_case",
        )
        assert (row["verdict"], row["group"], row["gap"]) == ("harmed", "Female", "widened")
        assert row["reason"].startswith("Dice: Female 0.")
        assert "of Dice more than Male" in row["reason"]
        innocent = one(
            fairness,
            **AT,
            task="tumour",
            attribute="age_group",
            metric=metric,
            version="change",
            convention="worst_case",
        )
        assert innocent["verdict"] == "no difference shown"
    assert one(fairness, **AT, attribute="sex", metric="gap_dice", group="Female")["ci_high"] < 0
    everyone = one(performance, **AT, task="tumour", attribute="", metric="dice", version="change")
    assert (everyone["verdict"], everyone["family"]) == (
        "lower",
        "secondary: dice of everyone, level 8, mitigation none",
    )


@pytest.mark.parametrize(("rule", "value"), [("one", 1.0), ("zero", 0.0)])
def test_empty_masks(brain, quick, rule, value):
    table = brain[0]
    performance, _ = assess(table, fake.BRAIN, quick(empty_mask=rule))
    means = dice_means(table, value)
    row = one(performance, **AT, task="tumour", attribute="", metric="dice", version="original")
    np.testing.assert_allclose(row["value"], means["o"].mean(), rtol=1e-6)


def test_a_hallucinated_region_counts_only_where_both_are_defined(brain):
    table = brain[0].copy()
    empty = np.flatnonzero(
        (table["tumour__label"] == 0) & (table["level"] == 8) & (table["split"] == "test")
    )
    table.loc[table.index[empty], "tumour__reconstructed"] = (
        0.0  # predicted something where nothing is
    )
    study = studies(table, fake.BRAIN)[0]
    task = fake.BRAIN.segmentation_tasks[0]
    undefined = units(study, task, study.test, "undefined")
    np.testing.assert_allclose(
        undefined.reconstructed,
        units(studies(brain[0], fake.BRAIN)[0], task, study.test).reconstructed,
    )
    as_one = units(study, task, study.test, "one")
    assert np.nanmean(as_one.reconstructed[1]) < np.nanmean(as_one.original[1]) - 0.2


def test_the_published_rule_leaves_out_empty_on_empty_version_by_version():
    # patient a: slices .8, empty on empty, a false find; patient b: one slice; c: all empty
    rows = [
        ("a", 50, 0.8, 0.6),
        ("a", 0, np.nan, 0.0),  # something is found in the reconstruction alone
        ("a", 0, 0.0, np.nan),  # in the original alone
        ("a", 0, np.nan, np.nan),
        ("b", 20, 0.5, 0.4),
        ("b", 9, np.nan, 0.9),  # no prediction on the original: no pair
        ("c", 0, np.nan, 0.0),  # the original has no slice left: no pair either
    ]
    table = pd.DataFrame(rows, columns=["patient_id", *(f"tumour__{p}" for p in PARTS)])
    table = table.assign(
        example_id=[f"i{i}" for i in range(len(rows))], split="test", level=8.0,
        reconstructor="unet", sex="Female", age_group="old",
    )  # fmt: skip
    study, task = studies(table, fake.BRAIN)[0], fake.BRAIN.segmentation_tasks[0]
    wanted = {
        "published": ([(0.8 + 0) / 2, 0.5, np.nan], [(0.6 + 0) / 2, 0.4, np.nan]),
        "undefined": ([0.8, 0.5, np.nan], [0.6, 0.4, np.nan]),
        "one": ([(0.8 + 1 + 0 + 1) / 4, 0.5, 1.0], [(0.6 + 0 + 1 + 1) / 4, 0.4, 0.0]),
        "zero": ([0.8 / 4, 0.5, 0.0], [0.6 / 4, 0.4, 0.0]),
    }
    for rule, (original, reconstructed) in wanted.items():
        found = units(study, task, study.test, rule)
        np.testing.assert_allclose(found.original[0], original)
        np.testing.assert_allclose(found.reconstructed[0], reconstructed)


def test_images_that_disagree_make_a_patient_unknown(brain):
    table = brain[0].copy()
    person = table.loc[table["split"] == "test", "patient_id"].unique()[0]
    matching = table["patient_id"] == person
    first = table["example_id"] == table.loc[matching, "example_id"].iloc[0]
    table.loc[matching & first, "age_group"] = "old"
    table.loc[matching & ~first, "age_group"] = "young"
    table.loc[matching & first, "grade__label"] = 0.0
    table.loc[matching & ~first, "grade__label"] = 1.0
    study = studies(table, fake.BRAIN)[0]
    judged = units(study, fake.BRAIN.tasks[0], study.test)
    place = int(np.flatnonzero(study.patient_names[judged.patient] == person)[0])
    assert np.isnan(judged.label[place])
    assert {g.name: int(g.code[place]) for g in judged.groupings}["age_group"] == -1
    assert "1 patient with images of different labels" in judged.note
    assert "1 patient with images in several groups of age_group taken as unknown" in judged.note


def test_a_table_may_hold_some_of_the_tasks(brain, quick):
    table = brain[0].drop(columns=[c for c in brain[0] if c.startswith(("grade", "type"))])
    performance, fairness = assess(table, fake.BRAIN, quick())
    assert set(performance["task"]) == {"tumour", ""}
    told = {"ser", "delta_dice", "gap_dice", "worst_group_dice"}
    assert set(rows(fairness, task="tumour")["metric"]) == told
    with pytest.raises(
        ValueError,
        match=r"no column '<task>__reconstructed' for any of \['grade', 'type', 'tumour'\]",
    ):
        assess(table.drop(columns="tumour__reconstructed"), fake.BRAIN, quick())


def test_segmentation_without_originals(brain, quick):
    table = brain[0].drop(
        columns=[c for c in brain[0] if c.startswith(("grade", "type")) or c == "tumour__original"]
    )
    performance, fairness = assess(table, fake.BRAIN, quick())
    row = one(performance, **AT, task="tumour", attribute="", metric="dice", version="change")
    assert np.isnan(row["value"])
    assert "no predictions on original images" in row["reason"]
    change = one(
        fairness,
        **AT,
        task="tumour",
        attribute="sex",
        metric="ser",
        version="change",
        convention="worst_case",
    )
    assert change["verdict"] == "not estimable"
    assert isinstance(performance, pd.DataFrame)
