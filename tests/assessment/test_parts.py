"""Options, arrangement of tables, AUROC errors and the families of tests, one by one."""

import numpy as np
import pandas as pd
import pytest
from fairrecon_jax.assessment.separation import separation
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.assessment.arrays import Cell, Grouping, JudgedUnits, studies, units
from fairrecon_jax.assessment.deferred import Deferred, adjust, family_name
from fairrecon_jax.assessment.rows import BLANK, COLUMNS, as_table
from tests.support import predictions_fake as fake


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicates": 0}, "replicates must be at least 1, got 0"),
        ({"alpha": 1.0}, "alpha must lie between 0 and 1"),
        (
            {"label_weights": (0.0, 1.0)},
            r"label_weights must be two numbers above 0, got \(0.0, 1.0\)",
        ),
        ({"conventions": ("max",)}, r"conventions must be among .* got \('max',\)"),
        ({"resample": "slice"}, "resample must be one of"),
        ({"threshold_rule": "youden"}, "threshold_rule must be one of"),
        ({"empty_mask": "nan"}, "empty_mask must be one of"),
        ({"threshold_rule": "fixed"}, "'fixed' needs threshold_value"),
        ({"threshold_value": 0.5}, "'balanced' takes no threshold_value"),
        ({"threshold_rule": "fixed", "threshold_value": 1.5}, r"must lie in \[0, 1\]"),
    ],
)
def test_options_refuse_nonsense(given, message):
    with pytest.raises(ValueError, match=message):
        AssessOptions(**given)


def test_a_value_for_a_task_is_its_own_the_common_one_or_an_error():
    assert AssessOptions(threshold_rule="fixed", threshold_value=0.3).value_for("any") == 0.3
    assert (
        AssessOptions(threshold_rule="fixed", threshold_value={"a": 0.2, "b": 0.7}).value_for("b")
        == 0.7
    )
    with pytest.raises(ValueError, match=r"threshold_value is not set, but task 'edema' needs it"):
        AssessOptions().value_for("edema")
    with pytest.raises(ValueError, match=r"threshold_value must lie in \[0, 1\], got {'a': -0.1}"):
        AssessOptions(threshold_rule="sensitivity", threshold_value={"a": -0.1})
    with pytest.raises(ValueError, match="label_weights must be two numbers"):
        AssessOptions(label_weights=(1.0,))
    for name in ("flips", "min_patients", "bins", "null_draws"):
        with pytest.raises(ValueError, match=f"AssessOptions.{name} must be at least 1, got 0"):
            AssessOptions(**{name: 0})
    for alpha in (0.0, -1.0):
        with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
            AssessOptions(alpha=alpha)
    with pytest.raises(ValueError, match=r"conventions must be among .* got \(\)"):
        AssessOptions(conventions=())


def test_a_study_is_arranged_by_cell_and_example():
    table = fake.xray()
    study = studies(table.sample(frac=1, random_state=0), fake.XRAY)[0]
    assert study.cells == (Cell(1e4, "unet", "none"), Cell(1e5, "unet", "none"))
    part = table[table["level"] == 1e5].sort_values("example_id")
    np.testing.assert_array_equal(
        study.columns["edema__reconstructed"][1], part["edema__reconstructed"]
    )
    np.testing.assert_array_equal(study.patient_names[study.patient], part["patient_id"])
    np.testing.assert_array_equal(study.test, part["split"] == "test")
    assert [g.name for g in study.groupings] == ["", "sex", "age_group"]
    assert study.groupings[1].reference == "Female"
    assert (study.groupings[1].code == -1).sum() == part["sex"].isna().sum() > 0


def test_missing_mitigation_and_seed_have_defaults():
    study = studies(fake.xray().drop(columns=["mitigation", "seed"]), fake.XRAY)[0]
    assert (study.seed, study.cells[0].mitigation) == (0, "none")


DEFECTS = {
    "lacks": (lambda t: t.drop(columns="sex"), r"lacks the columns \['sex'\]"),
    "duplicate": (
        lambda t: pd.concat([t, t.iloc[[400]]]),
        r"example 'p00400/400' occurs twice at level 100000.0, unet, none, seed 0 \(1 duplicate",
    ),
    "no test": (lambda t: t[t["split"] == "val"], "no row of split 'test'"),
    "two cohorts": (
        lambda t: t.assign(cohort=["a", "b"] * (len(t) // 2)),
        r"holds one cohort, got \['a', 'b'\]",
    ),
    "unknown group": (
        lambda t: t.assign(sex="X"),
        r"column 'sex' holds \['X'\], which are not among its groups \('Female', 'Male'\)",
    ),
    "two patients": (
        lambda t: t.assign(patient_id=[f"{p}{i}" for i, p in enumerate(t["patient_id"])]),
        "different values of 'patient_id'",
    ),
    "two labels": (
        lambda t: t.assign(edema__label=np.arange(len(t)) % 2 + (t["level"] > 2e4)),
        "different values of 'edema__label'",
    ),
    "leak": (
        lambda t: t.assign(patient_id="p"),
        r"1 patients are in 'val' and in 'test', e.g. 'p'",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_contradicting_tables_are_refused(defect):
    change, message = DEFECTS[defect]
    with pytest.raises(ValueError, match=message):
        studies(change(fake.xray()), fake.XRAY)


def test_originals_must_be_the_same_in_all_cells():
    table = fake.xray()
    study = studies(table, fake.XRAY)[0]
    nudged = table.assign(
        edema__original=np.clip(table["edema__original"] + 1e-5 * (table["level"] > 2e4), 0, 1)
    )
    units(
        studies(nudged, fake.XRAY)[0], fake.XRAY.tasks[1], study.test
    )  # rounding is no contradiction
    moved = table.assign(
        edema__original=table["edema__original"] * (1 - 0.1 * (table["level"] > 2e4))
    )
    with pytest.raises(ValueError, match="'edema__original' differs between levels"):
        units(studies(moved, fake.XRAY)[0], fake.XRAY.tasks[1], study.test)
    with pytest.raises(ValueError, match="lacks the column 'edema__label'"):
        units(
            studies(table.drop(columns="edema__label"), fake.XRAY)[0],
            fake.XRAY.tasks[1],
            study.test,
        )


def judged(score, label, patient, group=None):
    group = np.zeros(len(label), np.int32) if group is None else group
    groupings = (Grouping("", ("",), group, ""),)
    return JudgedUnits(label, score[:1], score[1:], patient, groupings, "image", True, "")


def test_auroc_errors_are_those_of_delong_and_of_a_jackknife():
    r = np.random.default_rng(2)
    label = r.integers(0, 2, 300).astype(float)
    score = np.stack([r.normal(label, 1), r.normal(0.5 * label, 1)])
    separated = separation(
        judged(score, label, np.arange(300)),
        np.ones((1, 300), bool),
        True,
        Grouping("", ("",), np.zeros(300, int), ""),
    )
    less = [
        [roc_auc_score(np.delete(label, i), np.delete(s, i)) for i in range(300)]
        for s in (score[0], score[1])
    ]
    jackknife = [
        np.sqrt(299 / 300 * np.sum((v - np.mean(v)) ** 2))
        for v in (*map(np.array, less), np.subtract(less[1], less[0]))
    ]
    np.testing.assert_allclose(separated.std_error[:, 0, 0], jackknife, rtol=0.02)
    assert separated.p_value(0, 0) < 0.05
    assert separated.paired(0, 0, 0.05).original.low > 0.5


def test_auroc_errors_know_of_patients():
    r = np.random.default_rng(3)
    label = np.repeat(r.integers(0, 2, 100).astype(float), 4)
    score = np.repeat(r.normal(0, 1, (2, 100)) + label[::4], 4, axis=1)
    everyone = Grouping("", ("",), np.zeros(400, int), "")
    known = np.ones((1, 400), bool)
    alone = separation(judged(score, label, np.arange(400)), known, True, everyone)
    clustered = separation(
        judged(score, label, np.repeat(np.arange(100), 4)), known, True, everyone
    )
    np.testing.assert_allclose(clustered.std_error, 2 * alone.std_error, rtol=0.01)


def test_auroc_of_a_group_without_positives_is_undefined():
    label = np.array([0.0, 0, 0, 1, 0, 1])
    separated = separation(
        judged(np.tile(np.arange(6.0), (2, 1)), label, np.arange(6)),
        np.ones((1, 6), bool),
        True,
        Grouping("g", ("a", "b"), np.array([0, 0, 0, 1, 1, 1]), "a"),
    )
    assert np.isnan(separated.value[:, 0, 0]).all()
    assert np.isnan(separated.std_error[:, 0, 0]).all()
    assert separated.value[0, 0, 1] == 0.5
    assert np.isnan(separated.p_value(0, 0))
    assert separated.p_value(0, 1) == 1.0


def test_families_are_adjusted_apart():
    rows = [dict(BLANK) for _ in range(4)]
    members = [
        Deferred("a", p, (row,), lambda p, _: {"verdict": f"{p:.2f}"})
        for p, row in zip((0.01, 0.02, float("nan")), rows)
    ]
    adjust([*members, Deferred("b", 0.04, (rows[3],), lambda p, _: {"verdict": f"{p:.2f}"})])
    assert [row["verdict"] for row in rows] == ["0.02", "0.02", "nan", "0.04"]
    assert [row["family"] for row in rows] == ["a", "a", "a", "b"]
    adjust([])
    assert (
        family_name("eodd", 1e4, "none", True)
        == "eodd, level 10000, mitigation none, intersections"
    )


def test_tables_have_all_columns_and_no_other():
    assert tuple(as_table([]).columns) == COLUMNS
    assert as_table([{"metric": "auroc"}]).iloc[0]["verdict"] == ""
    with pytest.raises(KeyError, match=r"unknown columns \['metrik'\]"):
        as_table([{"metrik": "auroc"}])
