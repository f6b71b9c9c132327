"""The permutation and robust nulls of equal changes against plain loops, full enumeration and their
mathematics.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fairrecon_jax.inference import group_draws
from fairrecon_jax.inference.equal_changes import draw, evaluate, group_test
from fairrecon_jax.inference.group_statistic import contrasts, frame_of, mask_and_centre
from fairrecon_jax.inference.group_tables import (
    REASONS,
    PatientTables,
    cluster_weights,
    effective_patients,
    judge_cells,
    patient_digests,
    patient_tables,
)

FEW = dict(permutations=199)


def rows(seed=0, patients=60, groups=3, tasks=2, images=3, harm=0.0):
    """One row per image: changes and labels [tasks, N], group, patient."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), rng.integers(1, images + 1, patients))
    group = rng.integers(0, groups, patients)[who]
    label = (rng.random((tasks, who.size)) < 0.4) * 1.0
    change = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.75, 0.1], size=label.shape)
    change = np.where((group == 0) & (rng.random(label.shape) < harm), -1.0, change)
    return change, label, group, np.array([f"p{w:04d}" for w in who])


def table_of(s, n, group, stratum=None):
    """Patient tables from arrays [U, K, L] or [U]."""
    s, n = (np.asarray(v, float).reshape(len(group), *np.shape(v)[1:]) for v in (s, n))
    while s.ndim < 3:
        s, n = s[..., None], n[..., None]
    group = np.asarray(group)
    digest = patient_digests(np.arange(len(group)))[1]
    strata = np.zeros(len(group), int) if stratum is None else np.asarray(stratum)
    return PatientTables(s, n, group, digest, digest, strata, int(group.max()) + 1)


def plain_statistic(s, n, group, kappa):
    """Q and the largest studentised deviation of one label in loops."""
    groups = sorted(set(group[n > 0]))
    d, energy, square, size, total = {}, {}, {}, {}, {}
    for g in groups:
        own = (group == g) & (n > 0)
        total[g], size[g] = n[own].sum(), own.sum()
        d[g] = s[own].sum() / total[g]
        energy[g] = sum((a - d[g] * b) ** 2 for a, b in zip(s[own], n[own]))
        square[g] = sum(b * b for b in n[own])
    m = sum(energy.values()) / sum(square.values())
    v = {
        g: max(
            (size[g] * energy[g] + k * m * square[g]) / (size[g] + k) / total[g] ** 2
            for k in (3.0, kappa)
        )
        for g in groups
    }
    weight = {g: 1 / v[g] for g in groups}
    mass = sum(weight.values())
    centre = sum(weight[g] * d[g] for g in groups) / mass
    q = sum((d[g] - centre) ** 2 / v[g] for g in groups)
    z = {g: (d[g] - centre) / np.sqrt(v[g] * (1 - weight[g] / mass)) for g in groups}
    return q, centre, z


def plain_kurtosis(s, n):
    """Kurtosis of the residuals from the overall mean, relative to cluster size."""
    e = s - s.sum() / n.sum() * n
    return max(3.0, (e**4).sum() / (n**4).sum() / ((e**2).sum() / (n**2).sum()) ** 2)


def plain_t(s, n, group, weights):
    """T of one cell [U, L]."""
    return sum(
        w * plain_statistic(s[:, y], n[:, y], group, plain_kurtosis(s[:, y], n[:, y]))[0]
        for y, w in enumerate(weights)
    )


def test_by_hand():
    # A: -1 0 0 0, B: 0 0 0 1: D = -1/4, 1/4; sum e^2 = 3/4 each; m = 3/16; residuals from 0 have
    # kurtosis (2/8) / (2/8)^2 = 4; v = (4 * 3/4 + k * 3/16 * 4) / (4 + k) / 16 = 3/64 for every k.
    # Dbar = 0, Q = 2 (1/16) / (3/64) = 8/3; studentised: -1/4 / sqrt(3/128).
    tables = table_of([-1, 0, 0, 0, 0, 0, 0, 1], np.ones(8), [0] * 4 + [1] * 4)
    test = group_test(tables, seed=0, min_patients=4, **FEW)
    assert test.statistic[0] == pytest.approx(8 / 3, rel=1e-12)
    assert test.variance[0, 0] == pytest.approx([3 / 64, 3 / 64], rel=1e-12)
    assert test.studentised[0, 0, 0] == pytest.approx(-0.25 / np.sqrt(3 / 128), rel=1e-12)
    assert test.pooled[0, 0] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_matches_plain_loops(seed):
    data = rows(seed, harm=0.2 * seed)
    tables = patient_tables(*data, groups=3)
    test = group_test(tables, seed=1, min_patients=2, min_effective=0, combine=False, **FEW)
    for k in range(2):
        s, n = tables.change[:, k], tables.images[:, k]
        assert test.statistic[k] == pytest.approx(plain_t(s, n, tables.group, (0.5, 1)), rel=1e-10)
        kappa = plain_kurtosis(s[:, 1], n[:, 1])
        _, centre, z = plain_statistic(s[:, 1], n[:, 1], tables.group, kappa)
        assert test.pooled[k, 1] == pytest.approx(centre, rel=1e-10)
        assert test.studentised[k, 1] == pytest.approx([z[g] for g in range(3)], rel=1e-9)


def arrangements(group, code):
    """All assignments of groups that keep each stratum's groups."""
    strata = [np.flatnonzero(code == c) for c in np.unique(code)]
    choices = [sorted(set(itertools.permutations(group[i]))) for i in strata]
    for pick in itertools.product(*choices):
        moved = group.copy()
        for i, own in zip(strata, pick):
            moved[i] = own
        yield moved


def test_permutations_match_enumeration():
    rng = np.random.default_rng(5)
    group = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1])
    n = np.stack([[2, 1, 1, 1, 1, 1, 2, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 2, 1]], 1)
    s = np.where(n > 0, rng.normal(size=n.shape) - 0.8 * (group == 1)[:, None], 0)
    observed = plain_t(s, n * 1.0, group, (0.5, 1.0))
    code = (n > 0) @ [1, 2]
    every = [plain_t(s, n * 1.0, g, (0.5, 1.0)) for g in arrangements(group, code)]
    exact = np.mean(np.array(every) >= observed * (1 - 1e-9))
    assert 0.005 < exact < 0.5
    assert len(every) == 3 * 20 * 3
    tables = table_of(s[:, None], n[:, None], group)
    draws = 8000
    test = group_test(tables, seed=3, min_patients=2, min_effective=0, permutations=draws)
    assert test.p_permutation[0] == pytest.approx(exact, abs=4.5 * np.sqrt(exact / draws))


def test_signs_match_enumeration():
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1], [5, 6])
    s, n = rng.normal(size=11) - 0.9 * group, rng.integers(1, 4, 11) * 1.0
    s *= n
    observed, centre, _ = plain_statistic(s, n, group, kappa := plain_kurtosis(s, n))
    e = s - centre * n
    every = np.array(
        [
            plain_statistic(e * w, n, group, kappa)[0]
            for w in itertools.product((-1.0, 1.0), repeat=11)
        ]
    )
    exact = np.mean(every >= observed * (1 - 1e-9))
    draws = 8000
    test = group_test(
        table_of(s, n, group),
        seed=3,
        min_patients=2,
        min_effective=0,
        permutations=draws,
        one_sided=0.0,
    )
    assert test.p_robust[0] == pytest.approx(exact, abs=4.5 * np.sqrt(exact / draws))


@pytest.mark.parametrize("images", [1, 4])
def test_permuted_sums_match_ranks(images):
    data = rows(1, patients=80, groups=4, images=images)
    site = np.array([int(p[-1]) % 2 for p in data[3]])
    tables = patient_tables(*data, groups=4, stratum=site)
    code = (tables.images > 0) @ [1, 2] + 4 * tables.stratum[:, None]
    size = np.bincount(tables.group)
    order = group_draws._order(tables)
    assert np.all(np.diff(size[order]) <= 0)
    for first, sums in group_draws.permuted_sums(tables, 7, "sex", 0, 6):
        keys = group_draws.unit_keys(tables.unit, 7, "sex", 0, 6)
        for b, k in itertools.product(range(6), range(2)):
            moved = np.full(len(tables.group), -1)
            for c in np.unique(code[:, k]):
                inside = np.flatnonzero(code[:, k] == c)
                ranked = inside[np.argsort(keys[first + b, inside])]
                own = [g for g in order for _ in range((tables.group[inside] == g).sum())]
                moved[ranked] = own
            s, n = tables.change[:, k], tables.images[:, k]
            for g in range(4):
                mine = moved == g
                for name, value in zip(sums._fields, (s, n, s * s, s * n, n * n)):
                    assert np.array_equal(getattr(sums, name)[b, k, :, g], value[mine].sum(0)), name


def test_keys_and_signs_are_fair_and_indexed():
    digest = patient_digests(np.arange(300))[1]
    keys = group_draws.unit_keys(digest, 1, "sex", 0, 800) / 2.0**32
    assert np.abs(keys.mean(0) - 0.5).max() < 0.06
    assert np.abs(np.corrcoef(keys[::2].ravel(), keys[1::2].ravel())[0, 1]) < 0.02
    other = group_draws.unit_keys(digest, 1, "age", 0, 800) / 2.0**32
    assert np.abs(np.corrcoef(keys.ravel(), other.ravel())[0, 1]) < 0.02
    signs = group_draws.patient_signs(digest, 1, 0, 800)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert np.abs(signs.T @ signs / 800 - np.eye(300)).max() < 0.2
    assert np.array_equal(signs[77:], group_draws.patient_signs(digest, 1, 77, 800))
    again = group_draws.unit_keys(digest, 1, "sex", 33, 800) / 2.0**32
    assert np.array_equal(keys[33:], again)


def same(first, second, **how):
    for name in ("statistic", "p_permutation", "p_robust", "critical"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), **how)


def test_row_order_and_added_task_change_nothing():
    change, label, group, patient = rows(3, harm=0.1)
    base = group_test(patient_tables(change, label, group, patient, groups=3), seed=4, **FEW)
    mixed = np.random.default_rng(0).permutation(len(patient))
    moved = patient_tables(
        change[:, mixed], label[:, mixed], group[mixed], patient[mixed], groups=3
    )
    same(base, group_test(moved, seed=4, **FEW), rtol=0)
    alone = patient_tables(change[:1], label[:1], group, patient, groups=3)
    single = group_test(alone, seed=4, **FEW)
    assert single.p_value[0] == base.p_value[0]
    assert single.p_value[0] == group_test(alone, seed=4, **FEW).p_value[0]
    assert group_test(alone, seed=5, **FEW).p_value[0] != single.p_value[0]


def test_renaming_groups_permutes_the_answer():
    change, label, group, patient = rows(3, harm=0.1)
    base = group_test(patient_tables(change, label, group, patient, groups=3), seed=4, **FEW)
    name = np.array([2, 0, 1])
    other = group_test(patient_tables(change, label, name[group], patient, groups=3), seed=4, **FEW)
    same(base, other, rtol=1e-12)
    np.testing.assert_allclose(base.studentised, other.studentised[..., name], rtol=1e-9)
    np.testing.assert_allclose(base.group_p, other.group_p[..., name], rtol=1e-12)


def test_tripled_images_scale_and_shift_change_nothing():
    change, label, group, patient = rows(3, harm=0.1)
    value = change + np.random.default_rng(1).normal(size=change.shape)
    three = [np.tile(v, 3) for v in (value, label, group, patient)]
    base = group_test(patient_tables(value, label, group, patient, groups=3), seed=4, **FEW)
    for other in (
        patient_tables(*three, groups=3),
        patient_tables(7.3 * value, label, group, patient, groups=3),
        patient_tables(value - 40.0, label, group, patient, groups=3),
    ):
        same(base, group_test(other, seed=4, **FEW), rtol=1e-7)


def test_a_patient_of_two_groups_is_two_units_with_one_sign():
    patient = np.array(["a", "a", "b", "c"])
    tables = patient_tables(np.zeros(4), None, np.array([0, 1, 0, 1]), patient, groups=2)
    twice = [d for d in np.unique(tables.patient) if (tables.patient == d).sum() == 2]
    units = np.flatnonzero(tables.patient == twice[0])
    assert sorted(tables.group[units]) == [0, 1]
    assert tables.unit[units[0]] != tables.unit[units[1]]
    signs = group_draws.patient_signs(tables.patient, 0, 0, 64)
    assert np.array_equal(signs[:, units[0]], signs[:, units[1]])


def test_effective_patients_and_weights():
    assert effective_patients(np.ones(7)) == 7
    assert effective_patients([100, 1, 1]) == pytest.approx(102**2 / 10002)
    assert effective_patients(np.zeros((3, 2))).tolist() == [0, 0]
    assert cluster_weights([0, 1, 5], 0.0).tolist() == [1, 1, 1]
    assert (cluster_weights([1, 5], 1.0) * [1, 5]).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"correlation must lie in \[0, 1\]"):
        cluster_weights([1], 1.5)


def test_one_patient_with_all_images_is_not_judged():
    n = np.ones(60)
    n[59] = 200
    tables = table_of((n > 100) * -20.0, n, np.repeat([0, 1], [30, 30]))
    reason, patients, effective = judge_cells(tables, 20)
    assert REASONS[reason[0, 0, 1]].startswith("too few effective patients")
    assert REASONS[reason[0, 0, 0]] == "no second group to compare with"
    assert patients[0, 0].tolist() == [30, 30]
    assert effective[0, 0, 1] < 2
    test = group_test(tables, seed=0, **FEW)
    assert np.isnan(test.p_value[0])
    assert np.isnan(test.group_p).all()
    assert test.permutations[0] == 0


def test_degenerate_cohorts():
    change, label, group, patient = rows(0)
    one_group = patient_tables(change, label, group * 0, patient, groups=2)
    test = group_test(one_group, seed=0, **FEW)
    assert np.isnan(test.p_value).all()
    assert REASONS[test.reason[0, 0, 1]] == "no images"
    one_label = group_test(
        patient_tables(change, label * 0, group, patient, groups=3), seed=0, **FEW
    )
    assert np.isfinite(one_label.p_value).all()
    assert np.isnan(one_label.deviation[:, 1]).all()
    still = group_test(patient_tables(change * 0, label, group, patient, groups=3), seed=0, **FEW)
    assert still.p_value.tolist() == [1, 1]
    assert still.unchanged.all()
    alike = patient_tables(change * 0 - 0.1, label, group, patient, groups=3)
    assert group_test(alike, seed=0, **FEW).p_value.tolist() == [1, 1]
    nothing = patient_tables(change * np.nan, label, group, patient, groups=3)
    assert np.isnan(group_test(nothing, seed=0, **FEW).p_value).all()
    gaps = change.copy()
    gaps[0, :5] = np.nan
    kept = patient_tables(gaps, label, group, patient, groups=3)
    fewer = patient_tables(change[:1, 5:], label[:1, 5:], group[5:], patient[5:], groups=3)
    assert group_test(kept, seed=0, **FEW).p_value[0] == group_test(fewer, seed=0, **FEW).p_value[0]


def test_bad_input_is_named():
    change, label, group, patient = rows(0)
    with pytest.raises(ValueError, match=r"change must be \[\d+\]"):
        patient_tables(change[:, :-1], label, group, patient, groups=3)
    with pytest.raises(ValueError, match="group must hold"):
        patient_tables(change, label, group[:-1], patient, groups=3)
    with pytest.raises(ValueError, match="1 infinite"):
        patient_tables(
            np.where(np.arange(len(group)) == 0, np.inf, 0), None, group, patient, groups=3
        )
    with pytest.raises(ValueError, match="stratum varies within a patient"):
        patient_tables(change, label, group, patient, groups=3, stratum=np.arange(len(group)))
    tables = patient_tables(change, label, group, patient, groups=3)
    with pytest.raises(ValueError, match="permutations = 9 cannot"):
        group_test(tables, seed=0, permutations=9)
    with pytest.raises(ValueError, match="label_weights must hold 2 positive"):
        group_test(tables, seed=0, label_weights=(1.0,), **FEW)


def test_one_label_alone_under_the_draws_of_both():
    change, label, group, who = rows(harm=0.3)
    tables = patient_tables(change, label, group, who, groups=3)
    drawn = draw(tables, seed=0, permutations=199)
    both, one = evaluate(drawn), evaluate(drawn.of_labels([1]))
    for name in ("deviation", "variance", "std_error"):
        np.testing.assert_array_equal(getattr(one, name)[:, 0], getattr(both, name)[:, 1])
    # patients with that label alone are then permuted apart: another set of draws of the same law
    alone = patient_tables(
        change, np.where(label == 1, 1, np.nan), group, who, groups=3, labels=(1,)
    )
    again = group_test(alone, seed=0, permutations=1999)
    many = evaluate(draw(tables, seed=0, permutations=1999).of_labels([1]))
    np.testing.assert_allclose(many.p_value, again.p_value, atol=0.06)


def test_small_group_without_losses_is_not_certain():
    # The more of 20 patients are lost, the larger the studentised deviation.
    group = np.repeat([0, 1], [1000, 20])
    size = []
    for lost in range(5):
        s = np.zeros(1020)
        s[:10], s[1000 : 1000 + lost] = -1, -1
        size.append(
            abs(group_test(table_of(s, np.ones(1020), group), seed=0, **FEW).studentised[0, 0, 1])
        )
    assert np.all(np.diff(size) > 0)
    assert size[0] < 1


def test_names_who_was_harmed():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 100)
    s = rng.normal(size=(600, 1)) - 0.8 * (group == 2)[:, None]
    test = group_test(table_of(s, np.ones_like(s), group), seed=0, permutations=999)
    assert np.argmin(test.studentised[0, 0]) == 2
    assert test.group_p[0, 0, 2] < 0.01
    assert np.all(np.delete(test.group_p[0, 0], 2) > 0.05)
    assert test.critical[0] > 2


def test_contrasts_ignore_what_is_not_judged():
    tables = patient_tables(*rows(2), groups=3)
    judged = np.zeros((2, 2, 3), bool)
    judged[..., :2] = True
    masked, _ = mask_and_centre(tables, judged)
    assert not masked.images[tables.group == 2].any()
    patients = judge_cells(tables)[1]
    frame = frame_of(masked, judged, patients, None, 0.15)
    found = contrasts(group_draws.observed_sums(masked), frame)
    assert not found.deviation[..., 2].any()
    for y in range(2):
        s, n = masked.change[:, 0, y], masked.images[:, 0, y]
        kappa = plain_kurtosis(s[n > 0], n[n > 0])
        expected = plain_statistic(s, n, tables.group, kappa)[0]
        assert found.quadratic[0, 0, y] == pytest.approx(expected, rel=1e-10)


def test_groups_of_nobody_are_drawn_too():
    """A group without units beside two with some: the test is that of the two."""
    change, label, group, patient = rows(groups=2)
    two, three = (
        group_test(patient_tables(change, label, group, patient, groups=g), seed=0, **FEW)
        for g in (2, 3)
    )
    np.testing.assert_allclose(three.p_value, two.p_value, rtol=1e-12)
    np.testing.assert_allclose(three.studentised[..., :2], two.studentised, rtol=1e-12)
    assert np.isnan(three.studentised[..., 2]).all()
    assert (three.reason[..., 2] == 1).all()
