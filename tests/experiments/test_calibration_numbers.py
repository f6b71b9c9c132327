"""The calibration study's numbers: its laws against formulas, its measures against hand counts and
the package's own functions.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from experiments.calibration import designs, families, rows, words
from experiments.calibration.cells import Cell, Design, Truth
from experiments.calibration.laws import Law, build, clusters, flips, values
from experiments.calibration.measure import (
    DRAWS,
    blocks,
    covers,
    extra_truth,
    measure_law,
    named,
    rejected,
    sign_flips,
    test_of,
)
from experiments.calibration.scores import SEPARATION, draw_scores, law_of, model_of
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_family import adjust_cells

test_of.__test__ = False  # a measure, whose name pytest takes for a test

ERRORS = 4  # standard errors that a simulated rate may lie from its formula
SINGLE = Design("single", (120, 80), 1, 0.3, 1, 0.8)
SEVERAL = Design("several", (120, 80), 4, 0.3, 1, 0.8)
TRUTHS = (
    Truth("null", "unchanged"),
    Truth("common", "unchanged", common=0.4),
    Truth("blurred, gap", "planted", gap=0.5, harmed=1.0),
    Truth("overlooked", "planted", harmed=1.25, false_alarms=0.0),
    Truth("noisier", "unchanged", shared=0.9, shared_harmed=0.4),
)


def drawn(design, truth):
    """Cohorts of a cell in blocks of 20, about 200,000 images in all."""
    law = law_of(Cell(design, truth))
    rng = np.random.default_rng(1)
    return [law.draw(rng, law.group, 20) for _ in range(50 // design.images)]


def counted(design, truth):
    """[K, 2 labels, 2 groups, 2, 2] counts."""
    return np.concatenate([block.counts for block in drawn(design, truth)])


def means(design, truth):
    """[2 versions, 2 labels, 2 groups] means of the scores by hand: half of the separation on
    either side, gap, loss and false alarms.
    """
    shifts = np.zeros((2, 2, 2))
    for label in (0, 1):
        for group in (0, 1):
            here = group == design.harmed
            loss = truth.common + here * truth.harmed * design.harm
            shifts[0, label, group] = SEPARATION * (label - 0.5) - here * truth.gap
            shifts[1, label, group] = shifts[0, label, group] + (
                -loss if label else truth.false_alarms * loss
            )
    return shifts


def within(count, images, expected):
    """A share pooled over blocks of 20 cohorts, which share labels, lies within 4 standard errors
    of its formula.
    """
    count, images = (v.reshape(-1, 20).sum(1) for v in (count, images))
    rate = count.sum() / images.sum()
    error = np.sqrt(np.sum((count - rate * images) ** 2)) / images.sum()
    assert abs(rate - expected) <= ERRORS * error, (rate, expected, error)


@pytest.mark.parametrize("design", [SINGLE, SEVERAL], ids=["single", "several"])
@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.name)
def test_decisions_by_label_group_and_version_follow_the_probit_formula(design, truth):
    cells, expected = counted(design, truth), means(design, truth)
    np.testing.assert_allclose(model_of(Cell(design, truth)).means(), expected, atol=1e-12)
    for label in (0, 1):
        for group in (0, 1):
            table = cells[:, label, group]
            images = table.sum((-2, -1))
            within(table[:, 1, :].sum(-1), images, norm.cdf(expected[0, label, group]))
            within(table[:, :, 1].sum(-1), images, norm.cdf(expected[1, label, group]))


@pytest.mark.parametrize("truth", [TRUTHS[2], TRUTHS[4]], ids=lambda truth: truth.name)
def test_decisions_that_stay_positive_follow_the_bivariate_normal_law(truth):
    cells, expected = counted(SINGLE, truth), means(SINGLE, truth)
    for group, shared in enumerate((truth.shared, truth.shared_harmed)):
        law = multivariate_normal(np.zeros(2), [[1, shared], [shared, 1]])
        table = cells[:, 1, group]
        within(table[:, 1, 1], table.sum((-2, -1)), float(law.cdf(expected[:, 1, group])))


def test_changes_of_a_block_agree_with_its_counts_and_its_true_change():
    block = drawn(SEVERAL, TRUTHS[2])[0]
    changes, cells = block.changes, block.counts
    images = cells.sum((-2, -1))
    np.testing.assert_array_equal(changes.images, images)
    net = cells[..., 0, 1] - cells[..., 1, 0]
    signed = net * np.array([-1, 1])[None, :, None]
    np.testing.assert_allclose(changes.reconstructed - changes.original, signed / images)
    n = changes.tables.images
    assert np.all(n == n[:, :1]), "cohorts of a block share labels and images"
    assert np.all(np.abs(changes.tables.change) <= n)
    assert np.all(block.truth[:, 0] == 0)
    assert np.all(block.truth[:, 1] < -0.05)


def test_images_of_a_patient_are_correlated():
    design = dataclasses.replace(SEVERAL, sizes=(2000, 10))
    law, model = law_of(Cell(design, TRUTHS[0])), model_of(Cell(design, TRUTHS[0]))
    found = draw_scores(model, np.random.default_rng(0), law.group, 10)
    z = found.original - np.where(found.label, 0.75, -0.75)
    first, second = z[:, :, 0].ravel(), z[:, :, 1].ravel()
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_flips_have_their_rates_and_the_truth_says_so():
    group = np.repeat((0, 1), (3000, 1000))
    found = flips((0.02, 0.1), (0.01, 0.0), 2)(np.random.default_rng(0), group, 20)
    actual = np.nanmean(found.changes.reconstructed - found.changes.original, 0)
    np.testing.assert_allclose(actual, found.truth, atol=0.01)
    np.testing.assert_allclose(found.truth, [[-0.01, -0.1]] * 2)
    before = found.changes.before
    assert np.all((found.changes.after >= 0) & (found.changes.after <= 1) & (before <= 1))


def test_values_lose_what_the_truth_says_in_the_harmed_group_alone():
    group = np.repeat((0, 1), (4000, 4000))
    for share in (1.0, 0.2):
        found = values("normal", 0.5, share=share)(np.random.default_rng(0), group, 10)
        actual = np.mean(found.changes.reconstructed, 0)
        np.testing.assert_allclose(actual, found.truth, atol=0.03)
        np.testing.assert_allclose(found.truth, [[0, -0.5 * share]])


def test_clusters_hold_one_patient_with_most_images():
    group = np.repeat((0, 1), (30, 26))
    tables = clusters(3, (50, 200))(np.random.default_rng(0), group, 5).changes.tables
    assert np.all(tables.images[-1] >= 50)
    assert tables.images[:-1].max() <= 3
    assert np.all(tables.change <= 0)


def test_rows_give_changes_of_decisions_scores_and_aurocs():
    model = rows._model((0.0, 3.0), 0.3, 2)
    group, rng = np.repeat((0, 1), (60, 60)), np.random.default_rng(0)
    lost = {}
    for kind in ("decisions", "scores", "auroc"):
        found = rows.of_rows(kind, model)(rng, group, 4)
        change = (found.changes.reconstructed - found.changes.original)[:, -1]
        lost[kind] = (change[:, 0] - change[:, 1]).mean()
        assert lost[kind] > 0.1
    assert lost["scores"] > lost["decisions"]
    missing = rows.of_rows("decisions", model, missing=0.5)(rng, group, 4).changes
    assert len({tuple(v) for v in missing.tables.images[:, :, 1].T}) == 4
    mixed = rows.of_rows(
        "decisions", rows.Model((0.2,), 4, (0.0,), (0.0,), 0.5, (0.8,)), per_image=True
    )
    tables = mixed(rng, np.zeros(50, int), 2).changes.tables
    assert len(tables.group) > len(np.unique(tables.patient)), "patients with images in both groups"


# -- measures


def test_blocks_are_reproducible_and_keyed_by_the_name():
    first = [(rng.random(), key, size) for rng, key, size in blocks("a", 100, 50, 0)]
    again = [(rng.random(), key, size) for rng, key, size in blocks("a", 100, 90, 0)]
    other = [(rng.random(), key, size) for rng, key, size in blocks("b", 100, 50, 0)]
    assert [size for *_, size in first] == [20, 20, 10]
    assert first[:2] == again[:2]
    assert all(a != b for a, b in zip(first, other))


def test_sign_flips_are_those_of_the_engine():
    group = np.repeat((0, 1), (80, 40))
    changes = flips((0.1, 0.1), (0.01, 0.01), 2)(np.random.default_rng(3), group, 30).changes
    test = test_of(changes, 5)
    assert test.one_sided.any(-1).any()
    assert not test.one_sided.any(-1).all()
    plain = group_test(changes.tables, seed=5, permutations=DRAWS, one_sided=0.0)
    np.testing.assert_allclose(sign_flips(changes, test, 5), plain.p_robust, atol=1e-12)


def test_true_extra_change_is_known_where_the_others_change_alike():
    found = extra_truth(np.array([[0.0, -0.1, 0.0], [0.0, 0.1, 0.2]]))
    np.testing.assert_allclose(found[0, 1], -0.1)
    assert np.isnan(found[0, 0])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(extra_truth(np.array([[0.0, -0.1]])), [[0.1, -0.1]])


def test_limits_that_miss_the_truth_do_not_cover():
    group = np.repeat((0, 1), (200, 200))
    changes = flips((0.2, 0.2), (0.2, 0.2))(np.random.default_rng(0), group, 40).changes
    test = test_of(changes, 0)
    assert covers(test, np.zeros((1, 2))).mean() > 0.8
    assert covers(test, np.array([[0.5, 0.0]])).mean() == 0
    assert np.isnan(covers(test, np.full((1, 2), np.nan))).all()


def one_cohort(lost, sizes):
    """A cohort whose groups lose exactly these shares of the decisions."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    change = np.concatenate([-1.0 * (np.arange(n) < q * n) for n, q in zip(sizes, lost)])
    change = change[:, None, None]
    return build(change, np.ones(change.shape), group, -np.array([lost]), np.ones(change.shape))


def test_a_verdict_that_names_the_harmed_group_is_right_and_any_other_is_not():
    sizes = (200, 200, 200)
    cohort = one_cohort((0.02, 0.02, 0.3), sizes)
    test = test_of(cohort.changes, 0)
    law = Law("a", sizes, None, 2)
    assert named(cohort.changes, test, law, cohort.truth).tolist() == [[False, False]]
    other = dataclasses.replace(law, harmed=0)
    assert named(cohort.changes, test, other, cohort.truth).tolist() == [[True, False]]
    better = dataclasses.replace(law, better=True)
    assert named(cohort.changes, test, better, cohort.truth).tolist() == [[True, False]]
    untrue = named(cohort.changes, test, law, cohort.truth[:, ::-1])
    assert untrue.tolist() == [[False, True]]


def test_nothing_is_named_without_a_verdict():
    cohort = one_cohort((0.1, 0.1), (100, 100))
    test = test_of(cohort.changes, 0)
    assert named(cohort.changes, test, Law("a", (100, 100), None, 1), cohort.truth).shape == (0, 2)


def test_undefined_cohorts_do_not_count():
    assert rejected(np.array([0.01, np.nan, 0.2, np.nan])) == (0.5, 2)
    assert np.isnan(rejected(np.array([np.nan])).value)
    assert rejected(np.array([0.05, 0.0500001])).value == 0.5


def test_a_law_with_harm_is_found_and_named_and_a_null_is_not():
    sizes = (200, 100)
    null, harm = (
        measure_law(Law(f"law {q}", sizes, flips((0.05, q), (0.0, 0.0)), h), 60, 0)
        for q, h in ((0.05, None), (0.3, 1))
    )
    assert null["test"].value < 0.2
    assert "misnamed" not in null
    assert harm["test"].value > 0.9
    assert harm["misnamed"].value == harm["untrue"].value == 0
    assert harm["misnamed"].of == round(60 * harm["test"].value)
    assert harm["covered"].value > 0.8


def test_cells_of_scores_are_measured_beside_the_published_recipe():
    found = measure_law(law_of(Cell(SINGLE, TRUTHS[2])), 20, 0)
    assert found["published"].of == 20
    assert 0 <= found["published"].value <= 1


# -- families and words


def test_the_attributes_of_a_family_have_their_shares_and_are_unrelated():
    family = families.FAMILIES[0]
    first, second = family.attribute(0), family.attribute(1)
    for values_, shares in zip((first, second), family.shares):
        np.testing.assert_allclose(np.bincount(values_) / len(values_), shares, atol=0.01)
    within_first = np.bincount(second[first == 1]) / np.sum(first == 1)
    np.testing.assert_allclose(within_first, family.shares[1], atol=0.03)


def test_a_family_is_adjusted_over_all_its_comparisons():
    family = dataclasses.replace(families.FAMILIES[3], harm=0.5)
    rng = np.random.default_rng(0)
    change, images, before = families._changes(family, rng, 2)
    tests = [
        test_of(build(change, images, family.attribute(a), np.zeros((2, 2)), before).changes, 1)
        for a in (0, 1)
    ]
    p = families.adjusted(tests, 1)
    each = families.TASKS * families.RECONSTRUCTORS
    raw = np.concatenate([test.p_value[each:] for test in tests])
    assert p.shape == (2 * each,)
    assert np.all(p >= raw - 1e-12)
    draws = [
        {n: v[:, k] for n, v in t.smallest.items()} for t in tests for k in range(each, 2 * each)
    ]
    np.testing.assert_allclose(p, adjust_cells(draws)[0])
    assert p[0] <= 0.05, "the harmed task"


def test_false_claims_of_a_family_are_fewer_after_adjustment():
    found = families.measure_family(families.FAMILIES[0], 20, 0)
    assert found["unadjusted"].value > 0.3
    assert found["any"].value < 0.3


def test_a_printed_change_is_planted_where_it_was_printed_and_found_about_four_times_in_five():
    design = families.Detection(2, (150, 60), (0.05, 0.02))
    harm = np.zeros((2, 30, 2))
    harm[1, :, 0] = 0.3
    cohorts = design.draw(np.random.default_rng(0), 30, harm)
    change = np.mean(cohorts.changes.reconstructed - cohorts.changes.original, 0)
    np.testing.assert_allclose(change, [[-0.03, -0.33], [-0.03, -0.03]], atol=0.04)
    found = families.measure_detection(design, 60, 0)
    assert 0.6 < found["found"].value < 0.97
    assert 0.05 < found["size"].value < 0.4


@pytest.mark.parametrize("design", words.MITIGATIONS[:10], ids=lambda d: d.name)
def test_a_mitigation_has_its_rates_before_and_after(design):
    cohorts = design.draw(np.random.default_rng(0), 100)
    np.testing.assert_allclose(np.mean(cohorts.changes.original, 0)[0], design.before, atol=0.02)
    np.testing.assert_allclose(
        np.mean(cohorts.changes.reconstructed, 0)[0], design.after, atol=0.02
    )


def test_words_on_mitigations_tell_help_from_levelling_down():
    by_name = {d.name: d for d in words.MITIGATIONS}
    gain = words.measure_mitigation(by_name["women gain 29 points, 500 men, 500 women"], 20, 0)
    lose = words.measure_mitigation(
        by_name["men lose 28 points, women untouched, 500 men, 500 women"], 20, 0
    )
    assert gain["helped"].value > 0.9
    assert lose["helped"].value < 0.2
    assert lose["levelled down"].value > 0.8


def test_equivalence_is_said_of_large_groups_without_a_difference_alone():
    alike, apart = (
        words.measure_equivalence(words.Equivalence((400, 400), (0.0, 0.0), d), 40, 0)
        for d in (0.0, 0.05)
    )
    assert alike["equivalent"].value == 1
    assert apart["equivalent"].value < 0.25


def test_laws_of_everyone_have_mean_zero_unless_there_is_harm():
    for design in words.EVERYONE:
        group = np.zeros(design.patients, int)
        drawn_ = design.draw(np.random.default_rng(0), group, 400).changes.tables
        total, images = drawn_.change.sum((0, 1))[0], drawn_.images.sum((0, 1))[0]
        spread = np.sqrt(np.sum(drawn_.change**2))
        assert (abs(total) <= 5 * spread) != design.harmed, (design.name, total / images)


def test_everyone_is_judged_where_all_lost():
    design = next(d for d in words.EVERYONE if d.name.startswith("harm: 4%"))
    assert words.measure_everyone(design, 40, 0)["test"].value > 0.3


def test_decisions_of_unequal_prevalence_keep_their_groups_rates():
    law = next(v for v in designs._prevalences() if v.harmed is None)
    block = law.draw(np.random.default_rng(0), law.group, 10)
    images = block.changes.images.mean(0)
    share = images[1] / images.sum(0)
    np.testing.assert_allclose(share, (0.3, 0.05), atol=0.05)
    np.testing.assert_allclose(block.truth[:, 0], block.truth[:, 1])
