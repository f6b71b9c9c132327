"""Limits of the objectives: tiny and doubled weights, one loss alone, balanced groups, rows of no
weight; and what a context refuses.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from fairrecon_jax.mitigation import (
    Adversarial,
    EqualisedOdds,
    GroupDro,
    Mitigation,
    MitigationContext,
    Reweighting,
    make_mitigation,
    register,
)
from fairrecon_jax.mitigation.adversarial import correlation_loss, entropy_loss, standardised
from fairrecon_jax.mitigation.interface import check_choice, check_positive
from fairrecon_jax.mitigation.readout import Groups, Readings, Readout, mean_everywhere
from fairrecon_jax.mitigation.sampling import (
    capped,
    effective_size,
    inverse_frequency,
    joint_cells,
    sample,
)
from fairrecon_jax.types import CohortSpec
from tests.support.mitigation_fakes import (
    SPEC,
    batch,
    context,
    gradient_of,
    on_devices,
    seen,
    value_of,
)

BATCH = batch(32)
KEY = jax.random.key(0)
TERMS = {
    "equalised_odds": {"warmup": 0, "decay": 0.0},
    "group_dro": {"warmup": 0},
    "adversarial": {"hidden": 8},
}


def start(kind, diagnosers=("bright",), **fields):
    objective = make_mitigation(kind, **{**TERMS[kind], **fields}).objective(context(*diagnosers))
    return objective, objective.init(KEY, BATCH)


@pytest.mark.parametrize("kind", TERMS)
def test_a_term_is_linear_in_its_weight(kind):
    """The added term and its gradient double with the weight and vanish with it: what is left is
    the plain loss.
    """
    terms = {}
    for weight in (1e-6, 1.0, 2.0):
        objective, state = start(kind, weight=weight)
        value, after, metrics = value_of(objective)(state, seen(BATCH))
        slope = gradient_of(objective)[0](BATCH["image"], state, BATCH)
        terms[weight] = float(value), np.asarray(slope), jax.tree.leaves(after)
        assert float(metrics["objective"]) == float(value)
    assert terms[2.0][0] == pytest.approx(2 * terms[1.0][0], rel=1e-6)
    np.testing.assert_allclose(terms[2.0][1], 2 * terms[1.0][1], rtol=1e-4, atol=1e-9)
    assert abs(terms[1e-6][0]) < 1e-5
    assert np.abs(terms[1e-6][1]).max() < 1e-5 < np.abs(terms[1.0][1]).max()
    for a, b in zip(
        terms[1.0][2], terms[2.0][2], strict=True
    ):  # what is remembered does not depend on it
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", TERMS)
def test_rows_of_no_weight_do_not_exist(kind):
    """Padding: rows with weight 0 may hold anything."""
    objective, state = start(kind)
    padded = seen(BATCH) | {"weight": np.where(np.arange(32) < 24, 1.0, 0.0).astype(np.float32)}
    other = {name: value.copy() for name, value in padded.items()}
    other["clean"][24:] = 0.9
    other["image"][24:] = 0.1
    other["labels"][24:] = 1 - other["labels"][24:]
    for version in ("attributes", "labels"):
        other[version][24:] = other[version][24:][::-1]
    call = value_of(objective)
    readable = [call(state, whole) for whole in (padded, other)]
    if kind == "equalised_odds":
        assert float(readable[0][2]["soft_eodd"]) == pytest.approx(
            float(readable[1][2]["soft_eodd"]), rel=1e-5
        )
    assert float(readable[0][0]) == pytest.approx(float(readable[1][0]), rel=1e-5)
    for a, b in zip(*(jax.tree.leaves(terms[1]) for terms in readable), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_group_dro_with_a_tiny_step_is_the_mean_over_groups():
    objective, state = start("group_dro", attributes=("sex",), step=1e-6, task=0.0)
    value, after, metrics = value_of(objective)(state, seen(BATCH, shift=0.1))
    errors = ((seen(BATCH, shift=0.1)["clean"].astype(float) - BATCH["image"]) ** 2).mean((1, 2, 3))
    means = [errors[BATCH["attributes"][:, 0] == g].mean() for g in (0, 1)]
    assert float(value) == pytest.approx(np.mean(means), rel=1e-4)
    assert float(metrics["worst_group_loss"]) == pytest.approx(max(means), rel=1e-5)
    np.testing.assert_allclose(after["q"], 0.5, rtol=1e-5)


def test_group_dro_of_a_perfect_estimate_without_tasks_is_zero_and_flat():
    objective, state = start("group_dro", task=0.0)
    value, after, _ = value_of(objective)(state, seen(BATCH))
    assert float(value) == 0
    np.testing.assert_allclose(after["q"], 1 / 5, rtol=1e-6)
    assert float(jnp.abs(gradient_of(objective)[0](BATCH["image"], state, BATCH)).max()) == 0


def test_group_weights_grow_by_the_exponential_of_the_loss_step_by_step():
    objective, state = start("group_dro", attributes=("sex",), step=0.5)
    call, expected = value_of(objective), np.array([0.5, 0.5])
    for shift in (0.0, 0.1, -0.1):
        whole = seen(BATCH, shift=shift)
        score = 1 / (
            1
            + np.exp(
                -8
                * (
                    np.stack(
                        [b.mean((1, 2, 3)) for b in np.split(whole["clean"].astype(float), 2, 2)], 1
                    )
                    - 0.5
                )
            )
        )
        entropy = np.where(
            BATCH["labels"] == 1,
            -np.log(score),
            np.where(BATCH["labels"] == 0, -np.log(1 - score), np.nan),
        )
        image = ((whole["clean"].astype(float) - BATCH["image"]) ** 2).mean((1, 2, 3))
        loss = [
            (np.nanmean(entropy, 1) + image)[BATCH["attributes"][:, 0] == g].mean() for g in (0, 1)
        ]
        expected = expected * np.exp(0.5 * np.array(loss))
        expected = expected / expected.sum()
        _, state, metrics = call(state, whole)
        np.testing.assert_allclose(state["q"], expected, rtol=1e-4)
        assert float(metrics["largest_group_weight"]) == pytest.approx(expected.max(), rel=1e-4)


def test_equalised_odds_of_groups_that_are_treated_alike_is_the_task_loss():
    """Every image once in each group: no gap, and the term and its gradient are the task loss's."""
    twice = {name: np.concatenate([value, value]) for name, value in BATCH.items()}
    twice["attributes"] = np.repeat(np.array([[0, 0], [1, 0]], np.int32), 32, 0)
    objective, state = start("equalised_odds", attributes=("sex",))
    value, _, metrics = value_of(objective)(state, seen(twice))
    assert float(metrics["soft_eodd"]) == pytest.approx(0, abs=1e-6)
    assert float(value) == pytest.approx(float(metrics["task_loss"]), rel=1e-5)
    alone, kept = start("equalised_odds", attributes=("sex",), task_weight=0.0)
    assert float(value_of(alone)(kept, seen(twice))[0]) == pytest.approx(0, abs=1e-9)
    score = (
        context("bright")
        .diagnosers[0]
        .diagnoser.predict({"params": {"gain": 8.0}}, jnp.asarray(twice["image"]))
    )
    known = ~np.isnan(twice["labels"])
    wanted = log_loss(twice["labels"][known], np.asarray(score, float)[known])
    assert float(metrics["task_loss"]) == pytest.approx(wanted, rel=1e-5)


def test_pooled_rates_of_the_objective_decay_by_hand():
    objective, state = start("equalised_odds", decay=0.5, attributes=("sex",))
    call = value_of(objective)
    _, first, _ = call(state, seen(BATCH))
    _, second, _ = call(first, seen(BATCH))
    np.testing.assert_allclose(
        second["rates"]["denominator"], 1.5 * np.asarray(first["rates"]["denominator"]), rtol=1e-6
    )
    women = BATCH["attributes"][:, 0] == 0
    np.testing.assert_allclose(
        first["rates"]["denominator"][0, 1],
        [(BATCH["labels"][women, 1] == y).sum() for y in (0, 1)],
    )
    assert float(second["rates"]["batches"]) == 1.5
    np.testing.assert_array_equal(second["tau"], [0.5, 0.5])


def test_a_better_estimate_of_the_worse_group_lowers_each_term():
    """The gradient is negative where women's positives should get brighter and positive where their
    negatives should get darker.
    """
    for kind in ("equalised_odds", "group_dro"):
        objective, state = start(kind, attributes=("sex",), tasks=("oedema",))
        slope = np.asarray(gradient_of(objective)[0](BATCH["image"], state, BATCH))[:, :, :4].mean(
            (1, 2, 3)
        )
        women = BATCH["attributes"][:, 0] == 0
        assert slope[women & (BATCH["labels"][:, 0] == 1)].max() < 0
        assert slope[women & (BATCH["labels"][:, 0] == 0)].min() > 0


def test_an_adversary_that_knows_nothing_has_a_loss_of_one():
    members = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    weight = np.ones(30, np.float32)
    call = on_devices(
        lambda _, p: (
            entropy_loss(p["x"], p["m"], p["w"]),
            correlation_loss(p["x"], p["m"], p["w"]),
        ),
        2,
    )
    blind = call(0, {"x": np.zeros((30, 3), np.float32), "m": members, "w": weight})
    np.testing.assert_allclose(blind, [1, 1], rtol=1e-6)
    sure = call(0, {"x": 50 * members, "m": members, "w": weight})
    np.testing.assert_allclose(sure, [0, 0], atol=1e-5)
    turned = call(0, {"x": -3 * members + 7, "m": members, "w": weight})
    assert float(turned[1]) == pytest.approx(0, abs=1e-5)  # a correlation has no sign and no scale
    nobody = call(0, {"x": 50 * members, "m": 0 * members, "w": weight})
    np.testing.assert_allclose(nobody, [0, 1], atol=1e-6)


def test_features_are_standardised_over_devices_and_weights():
    r = np.random.default_rng(0)
    x, weight = (
        r.normal(3, 2, (32, 4)).astype(np.float32),
        (np.arange(32) % 4 > 0).astype(np.float32),
    )
    call = jax.vmap(lambda a, w: standardised(a, w), axis_name="batch")
    terms = np.asarray(call(x.reshape(4, 8, 4), weight.reshape(4, 8))).reshape(32, 4)
    kept = weight > 0
    np.testing.assert_allclose(terms, (x - x[kept].mean(0)) / x[kept].std(0), rtol=1e-4, atol=1e-5)


def test_means_over_devices_by_hand():
    call = on_devices(lambda _, p: mean_everywhere(p["v"], p["w"]), 4)
    values, weight = np.arange(8, dtype=np.float32), np.array([0, 1, 0, 2, 0, 0, 1, 0], np.float32)
    assert float(call(0, {"v": values, "w": weight})) == pytest.approx((1 + 6 + 6) / 4)
    assert float(call(0, {"v": values, "w": 0 * weight})) == 0


def test_task_losses_are_scikit_learns_and_stay_finite():
    scores = np.array([[0.9, 0.0], [0.2, 1.0], [0.6, 0.5]], np.float32)
    labels = np.array([[1, 1], [0, 0], [1, 0]], np.float32)
    one = np.ones((3, 1), np.float32)
    losses, known = Readings(
        jnp.array(scores),
        jnp.array(labels),
        jnp.ones((3, 2)),
        0.25 * jnp.array(one),
        jnp.array(one),
    ).task_losses()
    assert losses.shape == known.shape == (3, 3)
    assert float(jnp.mean(losses[:, 0])) == pytest.approx(
        log_loss(labels[:, 0], scores[:, 0].astype(float)), rel=1e-5
    )
    np.testing.assert_allclose(losses[:2, 1], -np.log(1e-7), rtol=0.02)
    np.testing.assert_allclose(losses[:, 2], 0.75)


def test_a_readout_holds_the_chosen_tasks_in_order():
    whole = {name: jnp.asarray(value) for name, value in BATCH.items()}
    both = Readout(context("outline", "bright"))
    assert [t.name for t in both.tasks] == ["oedema", "effusion", "tumour"]
    assert (both.count("classification"), both.count("segmentation")) == (2, 1)
    terms = both(both.frozen(), whole["image"], whole)
    assert (terms.scores.shape, terms.dice.shape) == ((32, 2), (32, 1))
    np.testing.assert_array_equal(terms.known, ~np.isnan(BATCH["labels"]))
    np.testing.assert_array_equal(terms.present[:, 0], BATCH["mask"].any((1, 2, 3)))
    one = Readout(context("outline", "bright"), ("effusion",))
    alone = one(one.frozen(), whole["image"], whole)
    np.testing.assert_array_equal(alone.scores[:, 0], terms.scores[:, 1])
    assert alone.dice.shape == (32, 0)


def test_groups_stand_side_by_side():
    groups = Groups(context("bright"))
    assert (groups.sizes, groups.slices, groups.total) == ((2, 3), (slice(0, 2), slice(2, 5)), 5)
    members = np.asarray(
        Groups(context(), ("race",)).members({"attributes": np.array([[0, 2], [1, -1], [-1, 0]])})
    )
    np.testing.assert_array_equal(members, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("options", [EqualisedOdds(warmup=1), GroupDro(warmup=1)])
def test_batches_without_a_label_or_region_leave_the_divisor_to_the_first_that_has_one(options):
    objective = options.objective(context("bright", "outline"))
    blank = {**BATCH, "labels": np.full_like(BATCH["labels"], np.nan), "mask": 0 * BATCH["mask"]}
    call, fresh = value_of(objective), objective.init(KEY, BATCH)
    state = fresh
    for _ in range(2):
        _, state, _ = call(state, seen(blank, 0.1))
    late, _, _ = call(state, seen(BATCH, 0.1))
    assert float(late) == pytest.approx(float(call(fresh, seen(BATCH, 0.1))[0]), rel=1e-3)


def test_what_a_setting_refuses():
    nothing = CohortSpec("bare", "Bare", "xray", SPEC.tasks, (), SPEC.degradation)
    with pytest.raises(
        ValueError, match="a mitigation needs attributes of cohort 'bare'; these are: none"
    ):
        MitigationContext(nothing).attributes(())
    with pytest.raises(
        ValueError, match="no frozen diagnoser reads any task; tasks that are read: none"
    ):
        MitigationContext(SPEC).tasks(())
    with pytest.raises(
        ValueError, match="no frozen diagnoser reads 'bone'; tasks that are read: effusion, oedema"
    ):
        context("bright").tasks(("bone", "oedema"))
    with pytest.raises(
        ValueError, match="task 'oedema' is read by the diagnosers Bright and Bright"
    ):
        context("bright", "outline", "bright")
    assert [a.name for a in MitigationContext(SPEC).attributes(("race", "sex"))] == ["sex", "race"]
    assert [t.name for t in context("bright", "outline").tasks(())] == [
        "tumour",
        "oedema",
        "effusion",
    ]
    assert [MitigationContext(SPEC).column(a) for a in SPEC.attributes] == [0, 1]


def test_a_mitigation_does_one_thing():
    assert (
        Mitigation().sampling(MitigationContext(SPEC), np.zeros((2, 2)), np.zeros((2, 3))) is None
    )
    assert Mitigation().objective(MitigationContext(SPEC)) is None
    assert Reweighting().objective(context("bright")) is None
    for options in (EqualisedOdds(), GroupDro(), Adversarial()):
        assert (
            options.sampling(MitigationContext(SPEC), BATCH["attributes"], np.zeros((32, 3)))
            is None
        )


def test_the_registry_and_its_checks_name_what_is_wrong():
    with pytest.raises(
        ValueError, match="unknown mitigation 'prayer'; choose one of adversarial, equalised_odds"
    ):
        make_mitigation("prayer")
    with pytest.raises(ValueError, match="mitigation 'group_dro' is already GroupDro"):
        register("group_dro")(type("Other", (Mitigation,), {}))
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=f"mitigation 'k': rate must be a positive number, got {value}"
        ):
            check_positive("k", rate=value)
    with pytest.raises(ValueError, match="mitigation 'k': how must be one of a, b, got 'c'"):
        check_choice("k", "how", "c", ("a", "b"))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("adversarial", {"loss": "hinge"}, "loss must be one of|'loss' takes"),
        ("adversarial", {"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ("adversarial", {"hidden": 0}, "hidden must be a positive number, got 0"),
        ("equalised_odds", {"ratio": "root"}, "ratio must be one of|'ratio' takes"),
        (
            "equalised_odds",
            {"threshold_rate": 0.0},
            r"threshold_rate must lie in \(0, 1\], task_weight and warmup must not be negative",
        ),
        ("equalised_odds", {"task_weight": -1.0}, "task_weight and warmup must not be negative"),
        ("equalised_odds", {"min_count": 0.0}, "min_count must be a positive number"),
        ("group_dro", {"reconstruction": 0.0, "task": 0.0}, "one of the losses must count"),
        ("group_dro", {"weight": float("inf")}, "weight must be a positive number, got inf"),
    ],
)
def test_a_refused_field_is_named(kind, fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_mitigation(kind, **fields)


def test_sampling_weights_by_hand():
    """Six rows in groups of 3, 2 and 1: w = 6 / (3 n) = 2/3, 1, 2; one row is left out."""
    code = np.array([0, 0, 0, 1, 1, 2, -1])
    weights = inverse_frequency(code)
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 1, 1, 2, 0])
    np.testing.assert_allclose(
        capped(weights, 1.5, "mean"), np.array([2 / 3, 2 / 3, 2 / 3, 1, 1, 1.5, 0]) * 6 / 5.5
    )
    np.testing.assert_allclose(
        capped(weights, 1.5, "smallest"), np.array([2 / 3, 2 / 3, 2 / 3, 1, 1, 1, 0]) * 6 / 5
    )
    np.testing.assert_allclose(capped(weights, 1.0, "smallest"), [1] * 6 + [0])
    assert effective_size(weights) == pytest.approx(36 / (3 * 4 / 9 + 2 + 4))
    assert effective_size(5 * weights) == pytest.approx(effective_size(weights))


def test_joint_groups_are_numbered_in_order_and_renaming_does_not_matter():
    columns = np.array([[1, 0], [0, 1], [-1, 0], [0, 1], [1, -1]])
    np.testing.assert_array_equal(joint_cells(columns, "group"), [3, 1, 0, 1, 2])
    np.testing.assert_array_equal(joint_cells(columns, "leave_out"), [1, 0, -1, 0, -1])
    np.testing.assert_allclose(
        inverse_frequency(joint_cells(columns, "leave_out")),
        inverse_frequency(joint_cells(columns[:, ::-1], "leave_out")),
    )
    for wrong in (np.zeros(3), np.zeros((3, 0))):
        with pytest.raises(
            ValueError, match=r"joint groups need columns \[N, C\] with C >= 1, got shape"
        ):
            joint_cells(wrong, "group")


def test_what_is_recorded_of_a_sampling():
    terms = sample(
        np.array([[0], [0], [0], [1], [-1]]), [("F", "M")], ("sex",), "leave_out", 1.25, "mean"
    )
    summary = terms.summary()
    assert [cell["sex"] for cell in terms.cells] == ["F", "M"]
    assert [cell["rows"] for cell in terms.cells] == [3, 1]
    assert [cell["share"] for cell in terms.cells] == [0.6, 0.2]
    assert [cell["drawn_share"] for cell in terms.cells] == pytest.approx(
        [2 / 3.25, 1.25 / 3.25], abs=1e-5
    )
    assert (summary["rows"], summary["drawn_rows"]) == (5, 4)
    assert summary["largest_over_mean_weight"] == pytest.approx(1.25 * 4 / 3.25, abs=1e-3)
    assert summary["effective_rows"] == pytest.approx(3.25**2 / (3 * 4 / 9 + 1.25**2), abs=0.06)
