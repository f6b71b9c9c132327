"""The difference-in-differences test against a plain float64 re-implementation, its mathematics and
its null distribution.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import kstest, norm

from fairrecon_jax.inference import counts, did_result, signflip
from fairrecon_jax.inference.did import did_test
from fairrecon_jax.inference.did_result import REASONS
from tests.support.decisions_fake import simulate

KEY = jax.random.key(7)


def plain_statistics(s, n, usable, weights):
    """D, v, Dbar and T with label weights from lists of per-label, per-group patient vectors, in
    float64.
    """
    change, variance, centre, total = {}, {}, {}, 0.0
    for y in sorted({k[0] for k in usable}):
        strata = [k for k in usable if k[0] == y]
        energy, size = {}, {}
        for k in strata:
            inside = n[k] > 0
            change[k] = s[k].sum() / n[k].sum()
            energy[k] = ((s[k] - change[k] * n[k])[inside] ** 2).sum()
            size[k] = inside.sum()
        m = sum(energy.values()) / sum(size.values())
        for k in strata:
            variance[k] = size[k] * (energy[k] + 3 * m) / (size[k] + 3) / n[k].sum() ** 2
        weight = {k: 1 / variance[k] for k in strata}
        centre[y] = sum(weight[k] * change[k] for k in strata) / sum(weight.values())
        total += weights[y] * sum(weight[k] * (change[k] - centre[y]) ** 2 for k in strata)
    return change, variance, centre, total


def plain_test(o, r, y, g, patient, signs, min_patients, weights):
    """The whole test in loops; signs [B, P] in sorted patient order."""
    names = sorted(set(patient))
    code = np.array([names.index(p) for p in patient])
    s, n = {}, {}
    for label in weights:
        for group in sorted({int(x) for x in g if x >= 0}):
            rows = (y == label) & (g == group) & np.isfinite(o) & np.isfinite(r)
            s[label, group] = np.array(
                [(r - o)[rows & (code == p)].sum() for p in range(len(names))]
            )
            n[label, group] = np.array(
                [(rows & (code == p)).sum() for p in range(len(names))], float
            )
    usable = [k for k in s if (n[k] > 0).sum() >= min_patients]
    usable = [k for k in usable if sum(j[0] == k[0] for j in usable) >= 2]
    change, variance, centre, observed = plain_statistics(s, n, usable, weights)
    drawn = []
    for w in signs:
        flipped = {k: centre[k[0]] * n[k] + w * (s[k] - centre[k[0]] * n[k]) for k in usable}
        drawn.append(plain_statistics(flipped, n, usable, weights)[3])
    p = (1 + np.sum(np.array(drawn) * (1 + 1e-5) >= observed)) / (len(signs) + 1)
    return change, variance, centre, observed, p


def signs_of(patient, flips, key=KEY):
    digest = counts.index_patients(patient).digest
    blocks = [
        np.asarray(signflip.sign_block(key, digest, b)) for b in range(-(-flips // signflip.BLOCK))
    ]
    return np.concatenate(blocks)[:flips].astype(np.float64)


@pytest.mark.parametrize("weights", [{0: 1.0, 1: 1.0}, {0: 0.5, 1: 1.0}, {1: 1.0}])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_matches_plain_float64(seed, weights):
    data = simulate(seed, harm=0.1 * seed)
    data[1][5] = np.nan
    data[2][9] = np.nan
    data[3][11] = -1
    plain = plain_test(*data, signs_of(data[4], 199), 15, weights)
    labels, options = (
        tuple(weights),
        dict(
            flips=199, min_patients=15, labels=tuple(weights), label_weights=tuple(weights.values())
        ),
    )
    with jax.enable_x64(True):
        exact = did_test(*data, KEY, groups=3, **options)
    single = did_test(*data, KEY, groups=3, **options)
    for (y, g), value in plain[0].items():
        assert exact.change[labels.index(y), g] == pytest.approx(value, abs=1e-12)
        assert exact.variance[labels.index(y), g] == pytest.approx(plain[1][y, g], rel=1e-10)
        assert single.variance[labels.index(y), g] == pytest.approx(plain[1][y, g], rel=1e-5)
    assert exact.statistic == pytest.approx(plain[3], rel=1e-10)
    assert exact.p_value == pytest.approx(plain[4], abs=1e-12)
    assert single.statistic == pytest.approx(plain[3], rel=1e-4)
    assert single.p_value == pytest.approx(plain[4], abs=1.5 / 200)


def test_a_missed_finding_weighs_twice_a_false_alarm_by_default():
    data = simulate(2, harm=0.2)
    actual = {
        w: did_test(*data, KEY, groups=3, flips=199, label_weights=w)
        for w in (None, (0.5, 1.0), (1.0, 1.0), (1.0, 2.0))
    }
    alone = [did_test(*data, KEY, groups=3, flips=199, labels=(y,)) for y in (0, 1)]
    assert actual[None].statistic == actual[0.5, 1.0].statistic
    assert actual[None].statistic == pytest.approx(
        0.5 * alone[0].statistic + alone[1].statistic, rel=1e-5
    )
    assert actual[1.0, 1.0].statistic == pytest.approx(
        alone[0].statistic + alone[1].statistic, rel=1e-5
    )
    assert actual[1.0, 2.0].p_value == actual[None].p_value
    for name in ("deviation", "std_error", "ci_low", "ci_high", "stratum_p", "critical"):
        np.testing.assert_array_equal(getattr(actual[None], name), getattr(actual[1.0, 1.0], name))


def test_a_label_alone_has_the_same_p_whatever_its_weight():
    data = simulate(2, harm=0.1)
    first, second = (
        did_test(*data, KEY, groups=3, flips=199, labels=(1,), label_weights=w)
        for w in (None, (0.3,))
    )
    assert first.p_value == second.p_value
    assert second.statistic == pytest.approx(0.3 * float(first.statistic), rel=1e-5)


def test_max_t_interval_is_the_quantile_of_the_largest_studentised_deviation():
    data = simulate(3)
    result = did_test(*data, KEY, groups=3, flips=199, min_patients=5)
    assert result.estimable.all()
    o, r, y, g, patient = data
    who = counts.index_patients(patient)
    table = np.asarray(
        counts.patient_counts(
            o[None], r[None], y[None], g[None], who.codes, patients=who.total, groups=3
        )
    )[:, 0]
    s, n = (table[..., 2] - table[..., 1]).astype(float), table[..., 0].astype(float)
    largest = []
    for w in signs_of(patient, 199):
        a = result.pooled[None, :, None] * n + w[:, None, None] * (
            s - result.pooled[None, :, None] * n
        )
        d = a.sum(0) / n.sum(0)
        e2 = ((a - d * n) ** 2).sum(0)
        size = (n > 0).sum(0)
        m = e2.sum(-1) / size.sum(-1)
        v = size * (e2 + 3 * m[:, None]) / (size + 3) / n.sum(0) ** 2
        bar = (d / v).sum(-1) / (1 / v).sum(-1)
        se = np.sqrt(v - 1 / (1 / v).sum(-1, keepdims=True))
        largest.append(np.max(np.abs(d - bar[:, None]) / se))
    critical = np.sort(largest)[int(np.ceil(0.95 * 200)) - 1]
    assert result.critical == pytest.approx(critical, rel=1e-4)
    np.testing.assert_allclose(
        result.ci_high - result.deviation, critical * result.std_error, rtol=1e-4
    )
    size = np.abs(result.deviation) / result.std_error
    share = (1 + (np.array(largest)[:, None, None] * (1 + 1e-5) >= size).sum(0)) / 200
    np.testing.assert_allclose(result.stratum_p, share, atol=6e-3)


def test_rows_and_batching_do_not_matter():
    data = simulate(4)
    order = np.random.default_rng(0).permutation(len(data[0]))
    first = did_test(*data, KEY, groups=3, flips=199)
    second = did_test(*(a[order] for a in data), KEY, groups=3, flips=199)
    for name, a, b in zip(first._fields, first, second):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
    o, r, y, g, patient = data
    other = 1 - r
    batch = did_test(o, np.stack([r, other]), y, g, patient, KEY, groups=3, flips=199)
    alone = did_test(o, other, y, g, patient, KEY, groups=3, flips=199)
    assert batch.p_value.shape == (2,)
    assert batch.p_value[0] == pytest.approx(float(first.p_value), abs=1e-6)
    assert batch.p_value[1] == pytest.approx(float(alone.p_value), abs=1e-6)


def test_more_draws_extend_the_same_signs_and_a_patient_keeps_its_sign_elsewhere():
    digest = counts.index_patients(["a", "b", "c"]).digest
    block = np.asarray(signflip.sign_block(KEY, digest, 3))
    assert set(np.unique(block)) == {-1.0, 1.0}
    swapped = counts.index_patients(["z", "c"]).digest
    np.testing.assert_array_equal(
        np.asarray(signflip.sign_block(KEY, swapped, 3))[:, 0], block[:, 2]
    )
    many = np.asarray(signflip.sign_block(KEY, counts.index_patients(range(500)).digest, 0))
    assert abs(many.mean()) < 4 / np.sqrt(many.size)
    assert np.abs(np.corrcoef(many[:, :40].T) - np.eye(40)).max() < 0.35


def test_swapping_versions_mirrors_the_change():
    o, r, y, g, patient = simulate(5, harm=0.3)
    forward = did_test(o, r, y, g, patient, KEY, groups=3, flips=199)
    backward = did_test(r, o, y, g, patient, KEY, groups=3, flips=199)
    np.testing.assert_allclose(forward.change, -backward.change, atol=1e-6)
    np.testing.assert_allclose(forward.ci_low, -backward.ci_high, atol=1e-5)
    assert forward.p_value == pytest.approx(float(backward.p_value), abs=1e-6)


def test_swapping_two_groups_of_equal_role_permutes_the_cells():
    o, r, y, g, patient = simulate(6, harm=0.2)
    renamed = np.array([2, 0, 1])[g]
    a = did_test(o, r, y, g, patient, KEY, groups=3, flips=199)
    b = did_test(o, r, y, renamed, patient, KEY, groups=3, flips=199)
    np.testing.assert_allclose(a.deviation, b.deviation[:, [2, 0, 1]], atol=1e-6)
    assert a.p_value == pytest.approx(float(b.p_value), abs=1e-6)


def test_no_change_at_all_is_p_one():
    o, _, y, g, patient = simulate(7)
    result = did_test(o, o, y, g, patient, KEY, groups=3, flips=199)
    assert result.statistic == 0
    assert result.p_value == 1
    assert result.overall_p == 1
    assert np.all(result.n_changed == 0)
    assert np.all(np.isfinite(result.ci_low[result.estimable]))


def test_everything_changing_alike_is_p_one():
    _, _, y, g, patient = simulate(8)
    zero, one = np.zeros(len(y)), np.ones(len(y))
    result = did_test(zero, one, y, g, patient, KEY, groups=3, flips=199)
    assert result.p_value == 1
    assert result.overall_p == pytest.approx(1 / 200, abs=0.01)
    np.testing.assert_allclose(result.pooled, 1, atol=1e-6)


def test_perfect_separation_is_significant():
    _, _, y, g, patient = simulate(9, groups=2)
    result = did_test(
        np.ones(len(y)), np.where(g == 0, 1.0, 0.0), y, g, patient, KEY, groups=2, flips=199
    )
    assert result.p_value <= 2 / 200
    np.testing.assert_allclose(result.change, [[0, -1], [0, -1]], atol=1e-6)


def test_small_strata_leave_with_a_reason():
    o, r, y, g, patient = simulate(10)
    g = np.where(g == 2, np.where(np.arange(len(g)) < 40, 2, -1), g)
    result = did_test(o, r, y, g, patient, KEY, groups=4, flips=199)
    assert not result.estimable[:, 2:].any()
    assert REASONS[result.reason[0, 2]].startswith("too few")
    assert REASONS[result.reason[1, 3]].startswith("no images")
    assert result.estimable[:, :2].all()
    assert np.isnan(result.deviation[:, 2:]).all()
    assert np.isfinite(result.change[:, 2]).all()
    assert np.isnan(result.change[:, 3]).all()
    without = did_test(o, r, y, np.where(g == 2, -1, g), patient, KEY, groups=4, flips=199)
    assert result.p_value == without.p_value


def test_a_lonely_group_is_not_estimable():
    o, r, y, g, patient = simulate(11)
    result = did_test(o, r, y, np.where(g == 0, 0, -1), patient, KEY, groups=3, flips=199)
    assert np.isnan(result.p_value)
    assert REASONS[result.reason[0, 0]].startswith("no second group")
    assert np.isfinite(result.overall_p)
    label_gone = did_test(
        o, r, np.where((y == 1) & (g > 0), np.nan, y), g, patient, KEY, groups=3, flips=199
    )
    assert not label_gone.estimable[1].any()
    assert label_gone.estimable[0].all()


def test_counts_and_rates_beside_the_test():
    o, r, y, g, patient = simulate(12)
    result = did_test(o, r, y, g, patient, KEY, groups=3, flips=199)
    for label in (0, 1):
        for group in range(3):
            rows = (y == label) & (g == group)
            assert result.n_images[label, group] == rows.sum()
            assert result.n_patients[label, group] == len(set(patient[rows]))
            assert result.n_changed[label, group] == (o != r)[rows].sum()
            assert result.rate_original[label, group] == pytest.approx(o[rows].mean(), abs=1e-6)
            assert result.rate_reconstructed[label, group] == pytest.approx(
                r[rows].mean(), abs=1e-6
            )
            sizes = np.unique(patient[rows], return_counts=True)[1]
            assert result.n_effective[label, group] == pytest.approx(
                sizes.sum() ** 2 / (sizes**2).sum(), rel=1e-6
            )
    rate = [result.rate_original, result.rate_reconstructed]
    np.testing.assert_allclose(
        result.probit_change, norm.ppf(rate[1]) - norm.ppf(rate[0]), atol=1e-5
    )
    everyone = [(r - o)[y == label].mean() for label in (0, 1)]
    np.testing.assert_allclose(result.overall_change, everyone, atol=1e-6)


def test_probit_change_of_extreme_rates_is_finite():
    value = did_result.probit_change(
        np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.5]), np.array([10.0, 10.0, 0.0])
    )
    assert value[0] == pytest.approx(2 * norm.ppf(0.95), abs=1e-5)
    assert value[1] == 0
    assert np.isnan(value[2])


def test_overall_change_counts_unknown_groups():
    o, r, y, g, patient = simulate(13)
    result = did_test(o, r, y, np.where(g == 0, -1, g), patient, KEY, groups=3, flips=199)
    np.testing.assert_allclose(result.overall_change[1], (r - o)[y == 1].mean(), atol=1e-6)
    assert np.all(result.overall_low < result.overall_change)


def test_p_is_uniform_under_a_true_null_and_small_under_harm():
    rng = np.random.default_rng(0)
    patients, cohorts = 200, 400
    group = np.arange(patients) % 2
    label = (rng.random((cohorts, patients)) < 0.5).astype(float)
    original = (rng.random((cohorts, patients)) < 0.3 + 0.4 * label).astype(float)
    turned = rng.random((cohorts, patients)) < 0.25
    reconstructed = np.where(turned, 1 - original, original)
    harmed = np.where((group == 1) & (rng.random((cohorts, patients)) < 0.5), 0.0, reconstructed)
    p = did_test(
        original, reconstructed, label, group, np.arange(patients), KEY, groups=2, flips=199
    ).p_value
    assert kstest(p, "uniform").pvalue > 0.001
    assert 0.025 < np.mean(p <= 0.05) < 0.085
    power = did_test(
        original, harmed, label, group, np.arange(patients), KEY, groups=2, flips=199
    ).p_value
    assert np.mean(power <= 0.05) > 0.7


def test_simultaneous_intervals_cover():
    rng = np.random.default_rng(1)
    patients, cohorts = 300, 300
    group = rng.choice(4, patients, p=[0.4, 0.3, 0.2, 0.1])
    label = np.ones((cohorts, patients))
    original = np.ones((cohorts, patients))
    loss = np.array([0.1, 0.2, 0.3, 0.4])[group]
    reconstructed = np.where(rng.random((cohorts, patients)) < loss, 0.0, 1.0)
    result = did_test(
        original,
        reconstructed,
        label,
        group,
        np.arange(patients),
        KEY,
        groups=4,
        flips=199,
        labels=(1,),
    )
    weight = 1 / result.variance[:, 0]
    truth = -np.array([0.1, 0.2, 0.3, 0.4])
    centred = truth - (weight * truth).sum(-1, keepdims=True) / weight.sum(-1, keepdims=True)
    inside = (result.ci_low[:, 0] <= centred) & (centred <= result.ci_high[:, 0])
    assert 0.89 < np.mean(inside.all(-1)) <= 1


def test_equal_shapes_do_not_recompile():
    did_test(*simulate(16, images=1), KEY, groups=3, flips=199)
    before = signflip.sign_flip._cache_size()
    did_test(*simulate(17, images=1), jax.random.key(1), groups=3, flips=199)
    assert signflip.sign_flip._cache_size() == before


def test_result_does_not_depend_on_the_device():
    data = simulate(18)
    values = []
    for device in (jax.devices()[0], jax.devices()[-1]):
        with jax.default_device(device):
            values.append(did_test(*data, KEY, groups=3, flips=199).p_value)
    assert len(jax.devices()) > 1
    assert values[0] == values[1]


def test_refusals_say_what_is_wrong():
    o, r, y, g, patient = simulate(19)
    with pytest.raises(ValueError, match="flips = 10"):
        did_test(o, r, y, g, patient, KEY, groups=3, flips=10)
    with pytest.raises(ValueError, match="alpha"):
        did_test(o, r, y, g, patient, KEY, groups=3, alpha=1.5)
    with pytest.raises(
        ValueError, match=r"one positive number for each of the labels \(0, 1\), got \(1.0,\)"
    ):
        did_test(o, r, y, g, patient, KEY, groups=3, label_weights=(1.0,))
    with pytest.raises(ValueError, match=r"got \(0.0, 1.0\)"):
        did_test(o, r, y, g, patient, KEY, groups=3, label_weights=(0.0, 1.0))
    with pytest.raises(ValueError, match="last axis"):
        did_test(o[:-1], r, y, g, patient, KEY, groups=3)
    with pytest.raises(ValueError, match="non-empty vector"):
        did_test(o, r, y, g, [], KEY, groups=3)
