"""Options, arrangement of tables, AUROC errors and the families of tests, one by one."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.assessment.arrays import Cell, studies
from fairrecon_jax.assessment.classification import areas
from fairrecon_jax.assessment.deferred import Deferred, adjust, family_name
from fairrecon_jax.assessment.rows import BLANK, COLUMNS, as_table
from fairrecon_jax.assessment.units import units
from fairrecon_jax.inference import auroc_changes
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
        ({"adjustment": "bonferroni"}, r"adjustment must be one of \('westfall_young', 'holm'\)"),
        ({"permutations": 18}, "permutations must be at least 19, got 18"),
        ({"bins": 10**9}, "bins must be at most 1000, got 1000000000"),
        (
            {"label_weights": (1.0, 1e9)},
            r"label_weights must be at most 1e\+06, got \(1.0, 1000000000",
        ),
        ({"min_patients": 1}, "min_patients must be at least 2, got 1"),
        ({"threshold_redraws": -1}, "threshold_redraws must not be negative, got -1"),
        ({"threshold_rule": "youden"}, "threshold_rule must be one of"),
        ({"empty_mask": "nan"}, "empty_mask must be one of"),
        ({"threshold_rule": "fixed"}, "'fixed' needs threshold_value"),
        ({"threshold_value": 0.5}, "'balanced' takes no threshold_value"),
        ({"threshold_rule": "fixed", "threshold_value": 1.5}, r"must be a number in \[0, 1\]"),
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
    with pytest.raises(
        ValueError, match=r"threshold_value must be a number in \[0, 1\], got {'a': -0.1}"
    ):
        AssessOptions(threshold_rule="sensitivity", threshold_value={"a": -0.1})
    with pytest.raises(ValueError, match="label_weights must be two numbers"):
        AssessOptions(label_weights=(1.0,))
    for name in ("replicates", "bins", "null_draws"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
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
        r"1 patient is in 'val' and in 'test', e.g. 'p'",
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


def separated(score, label, patient, group=None, groups=1):
    """AUROCs of originals, reconstructions and their change, [1, 1, G] each, with intervals."""
    group = np.zeros(len(label), int) if group is None else group
    return areas(auroc_changes(*score, label, group, patient, groups=groups), 0.05)


def test_auroc_errors_are_those_of_a_jackknife():
    r = np.random.default_rng(2)
    label = r.integers(0, 2, 300).astype(float)
    score = np.stack([r.normal(label, 1), r.normal(0.5 * label, 1)])
    found = separated(score, label, np.arange(300))
    less = [
        [roc_auc_score(np.delete(label, i), np.delete(s, i)) for i in range(300)]
        for s in (score[0], score[1])
    ]
    jackknife = [
        np.sqrt(299 / 300 * np.sum((v - np.mean(v)) ** 2))
        for v in (*map(np.array, less), np.subtract(less[1], less[0]))
    ]
    np.testing.assert_allclose([v.std_error[0, 0, 0] for v in found], jackknife, rtol=0.02)
    assert found.original.low > 0.5
    assert found.change.high < 0


def test_auroc_errors_know_of_patients():
    r = np.random.default_rng(3)
    label = np.repeat(r.integers(0, 2, 100).astype(float), 4)
    score = np.repeat(r.normal(0, 1, (2, 100)) + label[::4], 4, axis=1)
    alone = separated(score, label, np.arange(400))
    clustered = separated(score, label, np.repeat(np.arange(100), 4))
    for a, b in zip(alone, clustered):
        np.testing.assert_allclose(b.std_error, 2 * a.std_error, rtol=0.01)
        assert b.high - b.low > 1.8 * (a.high - a.low)


def test_auroc_of_a_group_without_positives_is_undefined():
    label, score = np.array([0.0, 0, 0, 1, 0, 1]), np.tile(np.arange(6.0), (2, 1))
    found = separated(score, label, np.arange(6), np.array([0, 0, 0, 1, 1, 1]), 2)
    for version in found:
        assert np.isnan(np.array(version)[:, 0, 0, 0]).all()
    assert found.original.value[0, 0, 1] == 0.5
    assert found.change.value[0, 0, 1] == 0


def deferred(family, p, row, draws=None):
    """A test whose verdict repeats what its family says."""
    return Deferred(
        family, p, draws, (row,), lambda told, _: {"verdict": f"{told.p_adjusted:.2f}, {told.size}"}
    )


def test_families_are_adjusted_apart():
    rows = [dict(BLANK) for _ in range(4)]
    members = [deferred("a", p, row) for p, row in zip((0.01, 0.02, float("nan")), rows)]
    adjust([*members, deferred("b", 0.04, rows[3])], 0.05, "holm")
    assert [row["verdict"] for row in rows] == ["0.02, 2", "0.02, 2", "nan, 2", "0.04, 1"]
    assert [row["family"] for row in rows] == ["a", "a", "a", "b"]
    assert [row["p_value"] for row in rows[:2]] == [0.01, 0.02]
    adjust([], 0.05, "holm")
    adjust([], 0.05, "westfall_young")


def test_comparisons_that_move_together_cost_nothing_by_their_draws():
    """Two comparisons with the same four draws are one: p stays 1 / 5, where Holm doubles it. The
    third draws apart: its smallest value is met by one draw of the others.
    """
    share = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    for method, wanted in (("westfall_young", 0.2), ("holm", 0.4)):
        rows = [dict(BLANK) for _ in range(2)]
        adjust([deferred("a", 0.2, row, {"n": share}) for row in rows], 0.05, method)
        assert [row["p_adjusted"] for row in rows] == [wanted, wanted]
    rows = [dict(BLANK) for _ in range(2)]
    other = np.array([0.2, 1.0, 0.8, 0.6, 0.15])
    pair = zip((share, other), rows)
    adjust([deferred("a", 0.2, row, {"n": v}) for v, row in pair], 0.05, "westfall_young")
    assert [row["p_adjusted"] for row in rows] == [0.4, 0.4]
    # one test without draws makes its family Holm's
    rows = [dict(BLANK) for _ in range(2)]
    pair = zip(({"n": share}, None), rows)
    adjust([deferred("a", 0.2, row, v) for v, row in pair], 0.05, "westfall_young")
    assert [row["p_adjusted"] for row in rows] == [0.4, 0.4]


def test_one_family_is_primary():
    name = family_name("eodd", 1e4, "none", crossed=True)
    assert name == "secondary: eodd, level 10000, mitigation none, intersections"
    assert family_name("ser", 8.0, "m", primary=True) == "primary: headline gaps, level 8"


def test_tables_have_all_columns_and_no_other():
    assert tuple(as_table([]).columns) == COLUMNS
    assert as_table([{"metric": "auroc"}]).iloc[0]["verdict"] == ""
    with pytest.raises(KeyError, match=r"unknown columns \['metrik'\]"):
        as_table([{"metrik": "auroc"}])
