"""Changes of decisions, scores, values and AUROCs in patient tables: oracles, invariance, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import recall_score, roc_auc_score

from fairrecon_jax.inference.changes import (
    CLIP,
    auroc_changes,
    decision_changes,
    score_changes,
    value_changes,
)
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_result import one_cell
from fairrecon_jax.inference.group_tables import REASONS, patient_digests
from tests.support.decisions_fake import simulate

FEW = dict(permutations=199)


def cohort(seed=0, harm=0.3):
    """Decisions of both versions, label, group and patient of 60 patients of two images."""
    return simulate(seed, patients=60, images=2, groups=2, prevalence=0.5, harm=harm)


def scores(seed=0):
    """Two scores, labels, groups and names of 60 patients of two images."""
    r = np.random.default_rng(seed)
    label, group = np.arange(120) % 2 * 1.0, np.arange(120) // 2 % 2
    first = label + r.normal(0, 1, 120)
    second = np.round(first + r.normal(0, 0.7, 120) * (1 + group), 1)
    return np.round(first, 1), second, label, group, np.arange(120) // 2


def of(found, **options):
    return group_test(
        found.tables, seed=3, counted=found.counted, decisions=found.decisions, **FEW, **options
    )


def assert_same(first, second, names=("statistic", "p_value", "extra", "extra_low", "group_p")):
    for name in names:
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=1e-9, atol=1e-12, err_msg=name
        )


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("group", [0, 1])
def test_rates_are_those_of_scikit_learn(label, group):
    o, r, y, g, who = cohort()
    found = decision_changes(o, r, y, g, who, groups=2)
    rows = g == group
    for rate, decision in ((found.original, o), (found.reconstructed, r)):
        expected = recall_score(y[rows], decision[rows], pos_label=label)
        np.testing.assert_allclose(rate[0, label, group], expected, rtol=1e-12)
    assert found.images[0, label, group] == np.sum(rows & (y == label))
    assert found.changed[0, label, group] == np.sum(rows & (y == label) & (o != r))


def test_a_loss_is_a_loss_under_both_labels():
    one = decision_changes([1, 0], [0, 1], [1, 0], [0, 0], ["a", "b"], groups=1)
    np.testing.assert_array_equal(one.tables.change.sum(0), [[-1, -1]])


def test_sums_are_per_patient():
    found = decision_changes(
        [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1], list("aabb"), groups=2
    )
    order = np.argsort(found.tables.patient[found.tables.group == 0])
    expected = np.array([-2.0, 0.0])[np.argsort(patient_digests(list("ab")).digests)]
    np.testing.assert_array_equal(
        found.tables.change[found.tables.group == 0, 0, 1][order], expected
    )


def test_every_image_twice_is_the_same_test():
    data = cohort()
    twice = [np.repeat(a, 2) for a in data]
    assert_same(of(decision_changes(*data, groups=2)), of(decision_changes(*twice, groups=2)))


def test_neither_rows_nor_names_matter():
    o, r, y, g, who = cohort(1)
    plain = of(decision_changes(o, r, y, g, who, groups=2))
    shuffled = np.random.default_rng(0).permutation(len(o))
    assert_same(plain, of(decision_changes(*(a[shuffled] for a in (o, r, y, g, who)), groups=2)))
    renamed = of(decision_changes(o, r, y, 1 - g, who, groups=2))
    np.testing.assert_allclose(plain.p_value, renamed.p_value)
    np.testing.assert_allclose(plain.extra, renamed.extra[..., ::-1], atol=1e-12)


def test_an_unknown_image_is_an_absent_image():
    data = cohort(2)
    gone = np.arange(len(data[0])) % 5 == 0
    absent = decision_changes(*(a[~gone] for a in data), groups=2)
    for column in (0, 1, 2):
        holes = [np.where(gone, np.nan, a) if i == column else a for i, a in enumerate(data)]
        found = decision_changes(*holes, groups=2)
        for name in ("original", "reconstructed", "images", "changed"):
            np.testing.assert_array_equal(getattr(found, name), getattr(absent, name), name)
        np.testing.assert_array_equal(of(found).p_value, of(absent).p_value)


def test_exchanging_the_versions_turns_every_sign():
    o, r, y, g, who = cohort(3)
    for function in (decision_changes, score_changes, auroc_changes):
        forward, backward = (of(function(*pair, y, g, who, groups=2)) for pair in ((o, r), (r, o)))
        np.testing.assert_allclose(forward.extra, -backward.extra, atol=1e-12)
        np.testing.assert_allclose(forward.p_value, backward.p_value)


def test_scores_count_towards_the_truth():
    o, r = np.array([0.8, 0.8]), np.array([0.6, 0.6])
    found = score_changes(o, r, [1, 0], [0, 0], [0, 1], groups=1)
    step = logit(0.8) - logit(0.6)
    np.testing.assert_allclose(found.tables.change.sum(0), [[step, -step]], rtol=1e-12)


def test_saturated_scores_are_clipped_and_others_kept():
    found = score_changes([1.0], [1e-9], [1], [0], [0], groups=1)
    np.testing.assert_allclose(found.tables.change[0, 0, 1], 2 * logit(CLIP), rtol=1e-12)
    raw = score_changes([3.0], [-1.0], [1], [0], [0], groups=1)
    assert raw.tables.change[0, 0, 1] == -4


def test_values_are_means_of_patients():
    o = np.array([1.0, 1.0, 0.4, np.nan])
    r = np.array([0.5, 0.7, 0.4, 0.9])
    found = value_changes(o, r, [0, 0, 0, 0], list("aabb"), groups=1)
    np.testing.assert_allclose(found.original[0, 0, 0], np.mean([1.0, 0.4]))
    np.testing.assert_allclose(found.reconstructed[0, 0, 0], np.mean([0.6, 0.4]))
    assert (found.images[0, 0, 0], found.changed[0, 0, 0]) == (2, 2)


def test_a_common_shift_of_values_changes_no_test():
    o, r, _, g, who = scores()
    plain = of(value_changes(o, r, g, who, groups=2))
    assert_same(plain, of(value_changes(o, r + 5, g, who, groups=2)), ("p_value", "extra"))
    assert_same(plain, of(value_changes(o + 5, r + 5, g, who, groups=2)), ("p_value", "extra"))
    scaled = of(value_changes(1000 * o, 1000 * r, g, who, groups=2))
    np.testing.assert_allclose(scaled.p_value, plain.p_value)
    np.testing.assert_allclose(scaled.extra, 1000 * plain.extra, rtol=1e-9)


@pytest.mark.parametrize("group", [0, 1])
def test_aurocs_are_those_of_scikit_learn(group):
    o, r, y, g, who = scores(1)
    found = auroc_changes(o, r, y, g, who, groups=2, min_patients=5)
    rows = g == group
    expected = [roc_auc_score(y[rows], s[rows]) for s in (o, r)]
    actual = [found.original[0, 0, group], found.reconstructed[0, 0, group]]
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    own = found.tables.group == group
    mean = found.tables.change[own, 0, 0].mean()
    np.testing.assert_allclose(mean, expected[1] - expected[0], atol=1e-12)


def test_aurocs_ask_for_order_only():
    o, r, y, g, who = scores(2)
    plain = of(auroc_changes(o, r, y, g, who, groups=2))
    assert_same(plain, of(auroc_changes(np.exp(o), r**3, y, g, who, groups=2)))
    turned = of(auroc_changes(-o, -r, 1 - y, g, who, groups=2))
    assert_same(plain, turned, ("statistic", "extra"))


def test_an_auroc_is_judged_by_its_rarer_label():
    o, r, y, g, who = scores(3)
    who = np.arange(len(o))
    few = np.where((g == 1) & (y == 1) & (np.cumsum((g == 1) & (y == 1)) > 5), np.nan, y)
    found = auroc_changes(o, r, few, g, who, groups=2)
    assert found.counted[1][0, 0].tolist() == [30, 5]
    assert [REASONS[code] for code in found.counted[0][0, 0]] == [
        "no second group to compare with",
        "too few patients",
    ]
    none = auroc_changes(o, r, np.where(g == 1, 0.0, y), g, who, groups=2)
    assert np.isnan(none.original[0, 0, 1])
    assert np.isnan(of(none).p_value)[0]


def test_problems_do_not_touch_each_other():
    o, r, y, g, who = scores(4)
    other = np.random.default_rng(9).permutation(r)
    both = of(auroc_changes(o, np.stack([r, other]), y, g, who, groups=2))
    alone = of(auroc_changes(o, other, y, g, who, groups=2))
    assert_same(one_cell(both, 1), one_cell(alone, 0))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="group must hold 2 entries"):
        decision_changes([1, 1], [1, 1], [1, 1], [0], ["a", "b"], groups=1)
    with pytest.raises(ValueError, match="one entry per image"):
        value_changes([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0, 0], ["a", "b"], groups=1)


def test_of_groups_that_nobody_is_in_nothing_is_known():
    label, unknown = np.array([0.0, 1.0]), np.array([-1, -1])
    for function in (decision_changes, score_changes, auroc_changes):
        found = function(label, label, label, unknown, ["a", "b"], groups=2)
        assert np.isnan(found.original).all()
        assert not found.images.any()
        assert (found.counted[0] == 1).all()
