"""Options, arrangement of tables, resampling, AUROC errors and the families of tests, one by one."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import AssessOptions, resample
from fairrecon_jax.assessment.arrays import Cell, Grouping, JudgedUnits, studies, units
from fairrecon_jax.assessment.deferred import Deferred, adjust, family_name
from fairrecon_jax.assessment.resample import bootstrap, draws, paired, weighted_sums
from fairrecon_jax.assessment.rows import BLANK, COLUMNS, as_table
from fairrecon_jax.assessment.separation import placements, separation
from fairrecon_jax.inference.intervals import summarise
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
    "doubled": (
        lambda t: pd.concat([t, t.iloc[[400]]]),
        r"example 'p00400/400' occurs twice at level 100000.0, unet, none, seed 0 \(1 doubled",
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


def test_draws_are_seeded_and_fair():
    weights = draws(50, 200, 0)
    assert weights.shape == (200, 50)
    assert np.all(weights.sum(1) == 50)
    np.testing.assert_array_equal(weights[:10], draws(50, 10, 0))
    assert not np.array_equal(weights, draws(50, 200, 1))
    np.testing.assert_allclose(weights.var(), 1, rtol=0.1)  # Poisson-like


def test_resum_is_a_weighted_sum_per_table():
    r = np.random.default_rng(0)
    parts = [r.integers(0, 3, (20, 2, 3)).astype(np.float32), r.random((20, 4)).astype(np.float32)]
    weights = draws(20, 5, 0)
    for got, part in zip(weighted_sums(weights, parts), parts):
        np.testing.assert_allclose(
            got, np.tensordot(weights.astype(float), part.astype(float), 1), rtol=1e-6
        )
    np.testing.assert_allclose(weighted_sums(None, parts)[0], parts[0].sum(0)[None])


def ratios(sums):
    """Means of two columns from (count, first total, second total), as an assessment's statistics."""
    return {"mean": (sums[1] / sums[0], sums[2] / sums[0])}


def test_intervals_of_a_mean_are_those_of_theory():
    r = np.random.default_rng(0)
    values = r.normal(1, 2, (400, 2))
    found = bootstrap([np.ones(400), *values.T], draws(400, 2000, 0), ratios, 0.05)["mean"]
    error = values.std(0) / 20
    np.testing.assert_allclose(
        [found.original.std_error, found.reconstructed.std_error], error, rtol=0.06
    )
    np.testing.assert_allclose(
        found.change.value, values[:, 1].mean() - values[:, 0].mean(), atol=1e-12
    )
    np.testing.assert_allclose(
        [found.original.ci_low, found.original.ci_high],
        values[:, 0].mean() + np.array([-1.96, 1.96]) * error[0],
        atol=0.25 * error[0],
    )


@pytest.mark.parametrize(("method", "name"), [("bca", "BCa"), ("percentile", "percentile")])
def test_intervals_of_a_skewed_mean_are_those_of_scipy(method, name):
    value = np.random.default_rng(1).exponential(size=80) ** 2
    found = bootstrap([np.ones(80), 0 * value, value], draws(80, 20000, 0), ratios, 0.05, method)[
        "mean"
    ].change
    wanted = stats.bootstrap(
        (value,), np.mean, n_resamples=20000, method=name, rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(
        [found.ci_low, found.ci_high], wanted, atol=0.04 * (wanted.high - wanted.low)
    )


def test_accelerations_are_those_of_a_jackknife_and_blocks_do_not_matter(monkeypatch):
    r = np.random.default_rng(2)
    parts = [
        r.integers(1, 4, (70, 3)).astype(np.float32),
        *r.exponential(size=(2, 70, 3)).astype(np.float32),
    ]
    whole = bootstrap(parts, draws(70, 99, 0), ratios, 0.05)["mean"]
    left = np.stack([[p.sum(0) - p[i] for p in parts] for i in range(70)]).astype(float)
    d = [
        v.mean(0) - v
        for v in (
            left[:, 1] / left[:, 0],
            left[:, 2] / left[:, 0],
            (left[:, 2] - left[:, 1]) / left[:, 0],
        )
    ]
    wanted = [(x**3).sum(0) / (6 * (x**2).sum(0) ** 1.5) for x in d]
    monkeypatch.setattr(resample, "ROWS", 32)
    seen = []
    monkeypatch.setattr(
        resample, "summarise", lambda *given: seen.append(given[2]) or summarise(*given)
    )
    cut = bootstrap(parts, draws(70, 99, 0), ratios, 0.05)["mean"]
    np.testing.assert_allclose(seen[0], wanted, rtol=1e-3)
    np.testing.assert_allclose(cut.change.ci_low, whole.change.ci_low, rtol=1e-6)


def test_pairs_share_their_draws():
    base = np.random.default_rng(0).normal(0, 1, 500)
    found = bootstrap([np.ones(500), base, base + 0.5], draws(500, 500, 0), ratios, 0.05)["mean"]
    assert found.change.std_error < 1e-6 < found.original.std_error
    assert (found.p_two_sided, found.p_one_tailed) == (pytest.approx(2 / 501), 0.0)
    assert paired(found, ()).change.value == pytest.approx(0.5)


def test_influences_sum_to_zero_and_area_agrees():
    r = np.random.default_rng(0)
    label = r.integers(0, 2, 200).astype(float)
    score = np.round(r.random(200) + 0.3 * label, 1)
    area, influence = placements(score, label)
    np.testing.assert_allclose(area, roc_auc_score(label, score))
    assert abs(influence.sum()) < 1e-12
    assert np.isnan(placements(score, np.ones(200))[0])


def judged(score, label, patient, group=None):
    group = np.zeros(len(label), np.int32) if group is None else group
    groupings = (Grouping("", ("",), group, ""),)
    return JudgedUnits(label, score[:1], score[1:], patient, groupings, "image", True, "")


def test_auroc_errors_are_those_of_delong_and_of_a_jackknife():
    r = np.random.default_rng(2)
    label = r.integers(0, 2, 300).astype(float)
    score = np.stack([r.normal(label, 1), r.normal(0.5 * label, 1)])
    found = separation(
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
    np.testing.assert_allclose(found.std_error[:, 0, 0], jackknife, rtol=0.02)
    assert found.p_value(0, 0) < 0.05
    assert found.paired(0, 0, 0.05).original.low > 0.5


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
    found = separation(
        judged(np.tile(np.arange(6.0), (2, 1)), label, np.arange(6)),
        np.ones((1, 6), bool),
        True,
        Grouping("g", ("a", "b"), np.array([0, 0, 0, 1, 1, 1]), "a"),
    )
    assert np.isnan(found.value[:, 0, 0]).all()
    assert np.isnan(found.std_error[:, 0, 0]).all()
    assert found.value[0, 0, 1] == 0.5
    assert np.isnan(found.p_value(0, 0))
    assert found.p_value(0, 1) == 1.0


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
