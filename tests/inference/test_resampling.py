"""Bootstraps: names, order and copies do not matter; masking is removing; batches
are loops; edge cohorts.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax import metrics
from fairrecon_jax.inference import resampling
from fairrecon_jax.inference.bootstrap import (
    bootstrap_auroc,
    bootstrap_decisions,
    bootstrap_means,
)
from fairrecon_jax.inference.delong import ROWS, weighted_auroc

KEY = jax.random.key(13)
PATIENTS, GROUPS = 30, 3
OPTIONS = dict(groups=GROUPS, replicates=60)
TURN = np.array([2, 0, 1])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def draw(seed=0):
    """Two images of each patient; decisions, values in [0, 1], truth, groups and names."""
    r = np.random.default_rng(seed)
    who = np.repeat(np.arange(PATIENTS), 2)
    group, label = (np.arange(PATIENTS) % GROUPS)[who], (np.arange(2 * PATIENTS) % 2).astype(float)
    values = np.clip(0.3 + 0.3 * label + r.normal(0, 0.25, (2, len(who))), 0.01, 0.99)
    return (
        (values >= 0.45).astype(float),
        values,
        label,
        group,
        np.array([f"p{w:03d}" for w in who]),
    )


def run(name, seed=0, rows=slice(None), group=None, **changed):
    """One of the three bootstraps on chosen rows."""
    decision, value, label, own, patient = draw(seed)
    group = own if group is None else group
    options = {**OPTIONS, **changed}
    if name == "decisions":
        return bootstrap_decisions(
            *decision[:, rows], label[rows], group[rows], patient[rows], KEY, **options
        )
    if name == "means":
        return bootstrap_means(*value[:, rows], group[rows], patient[rows], KEY, **options)
    return bootstrap_auroc(*value[:, rows], label[rows], group[rows], patient[rows], KEY, **options)


def assert_same(first, second, atol=1e-10):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


BOOTSTRAPS = {"decisions": ("eodd", "rates"), "means": ("delta", "mean"), "auroc": ("gap", "auroc")}


@pytest.mark.parametrize("name", BOOTSTRAPS)
def test_order_of_rows_and_copies_of_images_do_not_matter(name):
    plain = run(name)
    order = np.random.default_rng(0).permutation(2 * PATIENTS)
    assert_same(plain, run(name, rows=order))
    assert_same(
        plain, run(name, rows=np.repeat(order, 2))
    )  # every image twice: the patients are as many as before


@pytest.mark.parametrize("name", BOOTSTRAPS)
def test_relabelled_groups_carry_their_intervals_along(name):
    gap, cells = BOOTSTRAPS[name]
    plain, turned = run(name), run(name, group=TURN[draw()[3]])
    assert_same(plain[gap], turned[gap])
    assert_same(plain[cells], jax.tree.map(lambda leaf: leaf[..., TURN], turned[cells]))


@pytest.mark.parametrize("name", BOOTSTRAPS)
@pytest.mark.parametrize("resample", ["patient", "image"])
def test_both_methods_share_values_errors_and_tails(name, resample):
    bca, percentile = (
        run(name, 1, resample=resample, method=method) for method in ("bca", "percentile")
    )
    for key in BOOTSTRAPS[name]:
        assert_same(
            (bca[key].change.value, bca[key].change.std_error),
            (percentile[key].change.value, percentile[key].change.std_error),
        )
        assert_same(
            (bca[key].p_two_sided, bca[key].p_one_tailed),
            (percentile[key].p_two_sided, percentile[key].p_one_tailed),
        )
    cells = BOOTSTRAPS[name][1]
    assert np.nanmax(np.abs(bca[cells].change.ci_low - percentile[cells].change.ci_low)) > 1e-6


@pytest.mark.parametrize("name", BOOTSTRAPS)
def test_one_patient_has_no_spread(name):
    decision, value, label, _, _ = draw(2)
    data = {"decisions": (*decision, label), "means": tuple(value), "auroc": (*value, label)}[name]
    function = {
        "decisions": bootstrap_decisions,
        "means": bootstrap_means,
        "auroc": bootstrap_auroc,
    }[name]
    result = function(
        *data, np.arange(len(label)) // 2 % GROUPS, np.zeros(len(label), int), KEY, **OPTIONS
    )[BOOTSTRAPS[name][0]]
    assert np.isfinite(result.change.value)
    assert float(result.change.std_error) == pytest.approx(0, abs=1e-12)
    assert float(result.change.ci_low) == pytest.approx(float(result.change.value), abs=1e-12)


@pytest.mark.parametrize("name", BOOTSTRAPS)
@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("replicates", 1, "replicates = 1; at least 2 are needed, 1000 are usual"),
        ("alpha", 1.0, r"alpha must lie in \(0, 1\), got 1.0"),
        ("resample", "study", "resample must be 'patient' or 'image', got 'study'"),
        ("method", "basic", "method must be 'bca' or 'percentile', got 'basic'"),
    ],
)
def test_every_bootstrap_refuses_the_same_options(name, option, value, text):
    with pytest.raises(ValueError, match=text):
        run(name, **{option: value})


def test_unknown_rows_are_absent_rows():
    decision, value, label, group, patient = draw(3)
    gone = np.zeros(len(label), bool)
    gone[[4, 9, 21]] = True  # the patients keep their other image
    holes, marks = np.where(gone, np.nan, label), np.where(gone, np.nan, value[1])
    plain = bootstrap_decisions(*decision, holes, group, patient, KEY, **OPTIONS)
    assert_same(plain, run("decisions", 3, rows=~gone))
    assert_same(
        plain,
        bootstrap_decisions(
            np.where(gone, np.nan, decision[0]), decision[1], label, group, patient, KEY, **OPTIONS
        ),
    )
    assert_same(
        bootstrap_means(value[0], marks, group, patient, KEY, **OPTIONS),
        run("means", 3, rows=~gone),
    )
    assert_same(
        bootstrap_auroc(value[0], marks, label, group, patient, KEY, **OPTIONS),
        run("auroc", 3, rows=~gone),
    )


def test_batches_equal_loops():
    decision, value, label, group, patient = draw(4)
    for function, data, last in (
        (bootstrap_decisions, decision, (label,)),
        (bootstrap_means, value, ()),
        (bootstrap_auroc, value, (label,)),
    ):
        stack = np.stack([data[1], 1 - data[1]])
        both = function(data[0], stack, *last, group, patient, KEY, **OPTIONS)
        for k in (0, 1):
            alone = function(data[0], stack[k], *last, group, patient, KEY, **OPTIONS)
            assert_same(jax.tree.map(lambda leaf, k=k: leaf[k], both), alone)


def test_one_label_is_equal_opportunity():
    plain, positives = run("decisions", 5), run("decisions", 5, labels=(1,))
    for name in ("eodd", "eodd_mean", "eop"):
        assert_same(positives[name], plain["eop"])
    assert_same(positives["rates"], jax.tree.map(lambda leaf: leaf[1:], plain["rates"]))


def test_unknown_groups_count_for_everyone_only():
    group = np.where(draw(6)[3] == 2, -1, draw(6)[3])
    for name, cells in (("means", "mean"), ("auroc", "auroc")):
        some, whole = run(name, 6, group=group), run(name, 6)
        assert_same(some["overall"], whole["overall"])
        assert np.isnan(some[cells].change.value[2])
        assert_same(some[cells].change.value[:2], whole[cells].change.value[:2])


def test_fewer_replicates_are_the_first_of_many():
    table = np.random.default_rng(0).normal(size=(PATIENTS, 2))
    many = np.asarray(resampling.resample_units(table, KEY, replicates=2 * resampling.BLOCK + 5))
    np.testing.assert_array_equal(
        resampling.resample_units(table, KEY, replicates=resampling.BLOCK + 3),
        many[: resampling.BLOCK + 3],
    )
    assert many.shape == (2 * resampling.BLOCK + 5, 2)
    first, second, other = (
        resampling.unit_weights(k, b, PATIENTS)
        for k, b in ((KEY, 0), (KEY, 1), (jax.random.key(14), 0))
    )
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, resampling.unit_weights(KEY, 0, PATIENTS))


def test_problems_of_a_batch_are_drawn_on_their_own():
    cells = np.stack([np.full((2, 2), 10), np.full((2, 2), 10), np.zeros((2, 2), int)])
    drawn = resampling.resample_images(cells, KEY, replicates=20)
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])
    assert np.all(drawn[:, 2] == 0)
    np.testing.assert_array_equal(
        resampling.resample_images(cells[:1], KEY, replicates=20)[:, 0], drawn[:, 0]
    )


def test_weighted_auroc_agrees_with_the_metric_beyond_one_block():
    score, label = np.round(draw(7)[1][0], 1), draw(7)[2]
    weight = np.random.default_rng(0).integers(0, 3, (ROWS + 3, len(label)))
    result = weighted_auroc(score, label, weight)
    expected = jax.vmap(metrics.auroc, (None, None, 0))(score, label, weight.astype(float))
    np.testing.assert_allclose(result, expected, atol=1e-12)
    np.testing.assert_allclose(weighted_auroc(np.exp(score), label, weight), result, atol=1e-15)
    np.testing.assert_allclose(weighted_auroc(-score, label, weight), 1 - result, atol=1e-12)
    np.testing.assert_allclose(weighted_auroc(score, label, 3 * weight), result, atol=1e-12)
