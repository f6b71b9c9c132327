"""What gaps may not depend on: names and order of groups, masked groups, the order of rows; bounds
between gaps; weighted oracles.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)

from fairrecon_jax import metrics
from tests.support.metric_samples import random_decisions


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


GROUPS = 4
eodd, eop = (
    jax.jit(function, static_argnames="convention")
    for function in (metrics.eodd_from_counts, metrics.eop_from_counts)
)
group_counts = jax.jit(metrics.group_counts, static_argnums=3)
value_gap, ser, worst_group = (
    jax.jit(metrics.gap_from_values),
    jax.jit(metrics.ser_from_means),
    jax.jit(metrics.worst_group, static_argnums=1),
)


def table(seed=0):
    return group_counts(*random_decisions(seed), GROUPS)


def test_rows_weights_and_unknown_groups():
    y, decision, group = random_decisions(1)
    weight = np.random.default_rng(0).multinomial(len(y), np.full(len(y), 1 / len(y)))
    whole = group_counts(y, decision, group, GROUPS, weight)
    order = np.random.default_rng(1).permutation(len(y))
    np.testing.assert_array_equal(
        whole, group_counts(y[order], decision[order], group[order], GROUPS, weight[order])
    )
    copies = np.repeat(np.arange(len(y)), weight)
    np.testing.assert_array_equal(
        whole, group_counts(y[copies], decision[copies], group[copies], GROUPS)
    )
    few = group_counts(
        y, decision, group, GROUPS - 1, weight
    )  # a group beyond the last is masked, not wrapped
    np.testing.assert_array_equal(few, whole[:-1])
    assert float(whole.sum()) == weight[~np.isnan(y) & (group >= 0)].sum()


def test_rates_agree_with_fairlearn_frames():
    y, decision, group = random_decisions(2)
    known = ~np.isnan(y) & (group >= 0)
    frame = MetricFrame(
        metrics={"fpr": false_positive_rate, "tpr": true_positive_rate},
        y_true=y[known],
        y_pred=decision[known],
        sensitive_features=group[known],
    ).by_group
    np.testing.assert_allclose(
        metrics.rates(group_counts(y, decision, group, GROUPS)), frame[["fpr", "tpr"]], atol=1e-10
    )


@pytest.mark.parametrize("seed", range(3))
def test_weighted_gaps_agree_with_fairlearn(seed):
    y, decision, group = random_decisions(seed)
    weight = np.random.default_rng(seed).random(len(y))
    known = ~np.isnan(y) & (group >= 0)
    counts = group_counts(y, decision, group, GROUPS, weight)
    for convention, agg in (("worst_case", "worst_case"), ("mean", "mean")):
        options = dict(sensitive_features=group[known], agg=agg, sample_weight=weight[known])
        expected = equalized_odds_difference(y[known], decision[known], **options)
        np.testing.assert_allclose(eodd(counts, convention=convention).value, expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("convention", ["worst_case", "mean"])
def test_relabelled_groups_carry_their_names_along(seed, convention):
    counts = table(seed)
    order = np.random.default_rng(seed).permutation(GROUPS)
    before, after = eodd(counts, convention=convention), eodd(counts[order], convention=convention)
    assert float(after.value) == pytest.approx(float(before.value), abs=1e-12)
    assert (order[int(after.high)], order[int(after.low)]) == (int(before.high), int(before.low))
    assert int(after.label) == int(before.label)


@pytest.mark.parametrize("seed", range(3))
def test_swapped_decisions_and_swapped_labels(seed):
    counts = table(seed)
    plain, decisions, labels = eodd(counts), eodd(counts[..., ::-1]), eodd(counts[..., ::-1, :])
    np.testing.assert_allclose([decisions.value, labels.value], plain.value, atol=1e-12)
    assert (int(decisions.high), int(decisions.low)) == (int(plain.low), int(plain.high))
    assert int(labels.label) == 1 - int(plain.label)


def test_gaps_are_ordered_and_bounded():
    counts = jnp.asarray(np.random.default_rng(0).integers(0, 3, (200, 4, 2, 2)), float)
    worst, mean, opportunity = (
        eodd(counts).value,
        eodd(counts, convention="mean").value,
        eop(counts).value,
    )
    for value in (worst, mean, opportunity):
        assert np.all(np.isnan(value) | ((value >= 0) & (value <= 1)))
    assert np.all((mean <= worst + 1e-12) | np.isnan(mean))
    assert np.all((opportunity <= worst + 1e-12) | np.isnan(opportunity))
    assert np.array_equal(np.isnan(worst), np.isnan(eodd(counts[:, :, ::-1]).value))


def test_copies_of_a_group_make_no_gap_and_a_further_group_never_narrows_one():
    counts = table(3)
    assert float(eodd(counts.at[2:].set(0).at[1].set(5 * counts[0])).value) == pytest.approx(
        0, abs=1e-12
    )
    nested = [float(eodd(counts.at[size:].set(0)).value) for size in range(2, GROUPS + 1)]
    assert np.all(np.diff(nested) >= 0)


@pytest.mark.parametrize("gone", range(GROUPS))
def test_a_masked_group_is_an_absent_group(gone):
    counts = table(4)
    keep = np.arange(GROUPS) != gone
    mask = jnp.broadcast_to(jnp.asarray(keep)[:, None], (GROUPS, 2))
    for function in (eodd, eop):
        masked, removed = (
            function(counts, mask=mask, convention="worst_case_estimable"),
            function(counts[keep]),
        )
        emptied = function(counts.at[gone].set(0))
        assert float(masked.value) == float(removed.value) == float(emptied.value)
        assert int(masked.high) == np.flatnonzero(keep)[int(removed.high)]
        assert masked.included[gone].tolist() == [False, False]
    assert float(
        eodd(counts, mask=jnp.ones((GROUPS, 2), bool), convention="worst_case_estimable").value
    ) == float(eodd(counts).value)


def test_a_single_stratum_can_be_masked():
    counts = table(5)
    rate = np.array(metrics.rates(counts))
    mask = np.ones((GROUPS, 2), bool)
    mask[2, 0] = False
    rate[2, 0] = np.nan
    expected = np.nanmax(np.nanmax(rate, 0) - np.nanmin(rate, 0))
    np.testing.assert_allclose(
        eodd(counts, mask=jnp.asarray(mask), convention="worst_case_estimable").value,
        expected,
        atol=1e-12,
    )


def test_one_group_and_no_group():
    counts = table(6)
    for few in (counts.at[1:].set(0), jnp.zeros_like(counts)):
        for actual in (eodd(few), eodd(few, convention="mean"), eop(few)):
            assert np.isnan(actual.value)
            assert (int(actual.high), int(actual.low)) == (-1, -1)
    alone = jnp.array([jnp.nan, 0.3, jnp.nan, jnp.nan])
    for actual in (
        value_gap(alone),
        ser(alone),
        metrics.delta_dice_from_means(jnp.full(4, jnp.nan)),
    ):
        assert np.isnan(actual.value)
        assert (int(actual.high), int(actual.low), int(actual.label)) == (-1, -1, -1)


def test_the_strata_at_the_limit_are_estimable():
    assert metrics.estimable(jnp.array([[19, 20], [21, 0]]), 20).tolist() == [
        [False, True],
        [True, False],
    ]


@pytest.mark.parametrize("seed", range(3))
def test_gaps_are_made_of_their_public_parts(seed):
    counts = table(seed)
    by_label = metrics.spread(metrics.rates(counts).T)
    for parts, value in (
        (metrics.over_labels(by_label), eodd(counts)),
        (metrics.over_labels(by_label, "mean"), eodd(counts, convention="mean")),
        (by_label[1], eop(counts)),
    ):
        np.testing.assert_allclose(parts, value.value, atol=1e-12)
    values = jnp.asarray(np.random.default_rng(seed).random(5)).at[2].set(jnp.nan)
    np.testing.assert_allclose(metrics.spread(values), value_gap(values).value, atol=1e-12)
    np.testing.assert_allclose(metrics.error_ratio(values), ser(values).value, atol=1e-12)


def test_the_mean_over_labels_needs_both_and_the_maximum_one():
    gaps = np.array([[0.3, np.nan], [np.nan, np.nan], [0.2, 0.4]])
    np.testing.assert_allclose(metrics.over_labels(gaps), [0.3, np.nan, 0.4])
    np.testing.assert_allclose(metrics.over_labels(gaps, "mean"), [np.nan, np.nan, 0.3])
    np.testing.assert_allclose(metrics.over_labels(gaps[:, :1], "mean"), gaps[:, 0])
    with pytest.raises(ValueError, match="convention must be one of"):
        metrics.over_labels(gaps, "max")


@pytest.mark.parametrize("seed", range(3))
def test_numpy_and_jax_give_the_same_gaps(seed):
    counts = np.random.default_rng(seed).integers(0, 4, (9, 4, 2, 2)).astype(float)
    values = np.random.default_rng(seed).random((9, 4))
    values[values < 0.2] = np.nan
    cases = [
        (metrics.eodd_from_counts, counts, {"convention": "mean"}),
        (metrics.eodd_from_counts, counts, {}),
        (metrics.eop_from_counts, counts, {}),
        (metrics.gap_from_values, values, {}),
        (metrics.ser_from_means, values, {"counts": np.ones(4)}),
    ]
    for function, given, options in cases:
        host, device = function(given, **options), function(jnp.asarray(given), **options)
        for a, b in zip(jax.tree.leaves(host), jax.tree.leaves(device)):
            assert isinstance(a, np.ndarray | np.generic)
            assert isinstance(b, jax.Array)
            np.testing.assert_allclose(a, b, atol=1e-14)
        assert host.direction == device.direction


def test_tables_on_the_host_compile_nothing(caplog):
    y, decision, group = random_decisions(2)
    score = np.random.default_rng(0).random(len(y))
    with jax.log_compiles():
        counts = metrics.group_counts(y, decision, group, GROUPS)
        metrics.eodd_from_counts(counts)
        for function in (metrics.auroc, metrics.balanced_threshold, metrics.calibration_error):
            function(y, score)
        assert "ompil" not in caplog.text
        jax.jit(lambda x: x + len(caplog.text))(1.0)
        assert "ompil" in caplog.text
    assert isinstance(counts, np.ndarray)
    np.testing.assert_array_equal(counts, table(2))


def test_value_gaps_ignore_shifts_and_ratios_ignore_scales():
    values = jnp.array([0.9, 0.55, jnp.nan, 0.7])
    actual = value_gap(values)
    np.testing.assert_allclose(value_gap(values + 3).value, actual.value, atol=1e-12)
    np.testing.assert_allclose(value_gap(-2 * values).value, 2 * actual.value, atol=1e-12)
    assert (int(value_gap(-values).high), int(value_gap(-values).low)) == (
        int(actual.low),
        int(actual.high),
    )
    np.testing.assert_allclose(ser(1 - (1 - values) / 7).value, ser(values).value, atol=1e-12)
    assert float(ser(jnp.full(3, 0.4)).value) == 1
    excluded = ser(values, counts=jnp.array([4, 0, 4, 4]))
    assert float(excluded.value) == pytest.approx(0.3 / 0.1)
    assert (int(excluded.high), int(excluded.low)) == (0, 3)
    masked = metrics.delta_dice_from_means(
        values, mask=jnp.array([False, True, True, True]), convention="worst_case_estimable"
    )
    assert float(masked.value) == pytest.approx(0.15)
    assert masked.convention == "worst_case_estimable"


def test_the_worst_group_is_the_low_side_of_the_gap():
    values = jnp.asarray(np.random.default_rng(1).random((6, 4))).at[2, 1].set(jnp.nan)
    np.testing.assert_array_equal(worst_group(values), value_gap(values).low)
    np.testing.assert_array_equal(worst_group(values, False), value_gap(values).high)
    assert int(metrics.worst_group(jnp.array([0.5, 0.2, 0.2]))) == 1  # the first of equals
    assert (
        int(metrics.worst_group(jnp.array([0.5, 0.2, 0.9]), mask=jnp.array([True, False, True])))
        == 0
    )


def test_signed_differences_are_antisymmetric_and_span_the_gap():
    values = jnp.asarray(np.random.default_rng(2).random((3, 5)))
    square = np.stack([metrics.signed_difference(values, g) for g in range(5)], -1)
    np.testing.assert_allclose(square, -np.swapaxes(square, -1, -2), atol=1e-15)
    np.testing.assert_allclose(square.max((-2, -1)), value_gap(values).value, atol=1e-15)
    assert np.isnan(metrics.signed_difference(jnp.array([0.1, jnp.nan]), 1)).all()


def test_intersections_number_the_product_of_names():
    names = [("F", "M"), ("a", "b", "c"), ("old", "young")]
    known = np.array(list(itertools.product(range(2), range(3), range(2)))).T
    both = metrics.intersect(list(known), names)
    assert both.group.tolist() == list(range(12))
    assert both.names == tuple(" x ".join(parts) for parts in itertools.product(*names))
    alone = metrics.intersect([np.array([1, -1, 0])], [("F", "M")])
    assert alone.group.tolist() == [1, -1, 0]
    assert alone.names == ("F", "M")
    with pytest.raises(ValueError, match="shorter"):
        metrics.intersect([known[0], known[1]], names[:1])


def test_an_intersection_never_hides_the_gap_of_an_attribute():
    """A rate of an attribute's group is a weighted mean of its intersections' rates."""
    y, decision, group = random_decisions(7)
    sex = np.random.default_rng(0).integers(0, 2, len(y))
    group = np.maximum(group, 0)
    both = metrics.intersect([sex, group], [("F", "M"), ("a", "b", "c", "d")])
    counts = group_counts(y, decision, both.group, 8)
    assert float(counts.sum(-1).min()) > 0
    for attribute, size in ((sex, 2), (group, 4)):
        assert float(eodd(counts).value) >= float(
            eodd(group_counts(y, decision, attribute, size)).value
        )


@pytest.mark.parametrize(
    "function", [metrics.gap_from_values, metrics.delta_dice_from_means, metrics.ser_from_means]
)
def test_value_gaps_refuse_what_they_cannot_mean(function):
    with pytest.raises(
        ValueError, match=r"one of \('worst_case', 'mean', 'worst_case_estimable'\), got 'worst'"
    ):
        function(jnp.array([0.1, 0.2]), convention="worst")
    with pytest.raises(
        ValueError, match="'worst_case_estimable' needs `mask`, the groups with enough patients"
    ):
        function(jnp.array([0.1, 0.2]), convention="worst_case_estimable")


def test_a_gap_keeps_its_words_through_transformations_and_compiles_once():
    counts = jnp.stack([table(seed) for seed in range(3)])
    compiled = jax.jit(jax.vmap(lambda c: eodd(c, convention="mean")))
    actual = compiled(counts)
    assert actual.convention == "mean"
    assert actual.direction == "lower is fairer, 0 is no gap"
    compiled(counts + 1)
    assert compiled._cache_size() == 1
    leaves, tree = jax.tree.flatten(actual)
    assert len(leaves) == 6
    assert jax.tree.unflatten(tree, leaves).convention == "mean"
