"""The equalised-odds objective: its value by hand, its gradient, and every way in which a batch can
be degenerate.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.mitigation import EqualisedOdds, make_mitigation
from fairrecon_jax.runtime.devices import AXIS
from tests.support.mitigation_fakes import batch, context, gradient_of, on_devices, seen, value_of

BATCH = batch()
KEY = jax.random.key(0)


def start(options: EqualisedOdds, *diagnosers: str):
    objective = options.objective(context(*(diagnosers or ("bright",))))
    return objective, objective.init(KEY, BATCH)


def by_hand(whole, tau: float = 0.5, temperature: float = 0.3) -> tuple[float, float]:
    """Task loss and largest EODD of one batch with plain loops, for the classification tasks."""
    blocks = np.split(whole["clean"].astype(np.float64), 2, axis=2)
    score = 1 / (1 + np.exp(-8 * (np.stack([b.mean((1, 2, 3)) for b in blocks], 1) - 0.5)))
    label, soft = whole["labels"].astype(float), 1 / (1 + np.exp(-(score - tau) / temperature))
    known = ~np.isnan(label)
    entropy = -(
        np.where(known, label, 0) * np.log(score)
        + np.where(known, 1 - label, 0) * np.log(1 - score)
    )
    worst = 0.0
    for t in range(2):
        for column, groups in ((0, 2), (1, 3)):
            for y in (0, 1):
                inside = [
                    (whole["attributes"][:, column] == g) & (label[:, t] == y)
                    for g in range(groups)
                ]
                rates = [soft[i, t].mean() for i in inside if i.sum() >= 2]
                worst = max(worst, max(rates) - min(rates)) if len(rates) > 1 else worst
    return float((entropy * known).sum() / known.sum()), worst


def test_the_term_is_what_plain_loops_say():
    objective, state = start(EqualisedOdds(decay=0.0, warmup=0))
    value, _, metrics = value_of(objective)(state, seen(BATCH))
    entropy, worst = by_hand(seen(BATCH))
    assert float(metrics["task_loss"]) == pytest.approx(entropy, rel=1e-5)
    assert float(metrics["soft_eodd"]) == pytest.approx(worst, rel=1e-5)
    assert float(value) == pytest.approx(entropy + worst**2, rel=1e-5)
    assert worst > 0.1


def test_scaled_to_the_loss_the_term_is_a_share_of_its_running_mean():
    losses = [4e-3, 1e-3, 2e-3]
    plain, state = start(EqualisedOdds(decay=0.0, weight=3.16))
    scaled, other = start(EqualisedOdds(decay=0.0, weight=3.16, scale="loss"))
    # one device of two sees less than the other: their mean is the batch's
    assert set(other) - set(state) == {"loss"}
    wanted = losses[0]
    for loss in losses:
        wanted += 0.1 * (loss - wanted)
        one, state, _ = value_of(plain, 2)(state, seen(BATCH))
        seen_loss = np.array([0.5, 1.5]) * loss
        two, other, _ = on_devices(
            lambda kept, part: scaled(
                part["clean"], {**part, "loss": part["loss"][0]}, kept, jax.random.key(0)
            ),
            2,
        )(other, {**seen(BATCH), "loss": np.repeat(seen_loss, len(BATCH["weight"]) // 2)})
        assert float(two) == pytest.approx(wanted * float(one), rel=1e-5)


@pytest.mark.slow
def test_divided_by_its_running_mean_the_term_hardly_shrinks():
    """As published: t_i / m_i with m_1 = t_1 and m_i = m_{i-1} + (t_i - m_{i-1}) / 10."""
    plain, state = start(EqualisedOdds(decay=0.0, warmup=0, task_weight=0.0))
    divided, other = start(EqualisedOdds(decay=0.0, divisor="running", task_weight=0.0))
    nobody = {**seen(BATCH), "labels": np.full_like(BATCH["labels"], np.nan)}
    whole, mean = seen(BATCH), 0.0
    terms: list[float] = []
    values: list[float] = []
    for step in range(40):
        # bright and dark halves fade towards one grey
        clean = 0.5 + (whole["clean"] - 0.5) * 0.985**step
        batch = {**whole, "clean": clean.astype(np.float32)}
        term, state, _ = value_of(plain)(state, batch)
        value, other, _ = value_of(divided)(other, batch)
        terms.append(float(term))
        values.append(float(value))
        mean = mean + 0.1 * (terms[-1] - mean) if step else terms[0]
        assert values[-1] == pytest.approx(terms[-1] / mean, rel=1e-4)
        # nothing is known: no term, no division by 0, and no measurement
        value, other, _ = value_of(divided)(other, nobody)
        assert float(value) == 0
    assert terms[-1] < 0.6 * terms[0]
    assert values[-1] > 0.8


@pytest.mark.parametrize("options", [{}, {"combine": "logsumexp", "ratio": "log"}], ids=str)
@pytest.mark.parametrize("diagnosers", [("bright", "outline")], ids="+".join)
def test_the_gradient_is_that_of_finite_differences_and_not_zero(diagnosers, options):
    with jax.enable_x64(True):
        objective, state = start(
            EqualisedOdds(decay=0.0, warmup=0, weight=2.0, **options), *diagnosers
        )
        state = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, state
        )
        whole = {
            name: v.astype(np.float64) if v.dtype == np.float32 else v for name, v in BATCH.items()
        }
        gradient, value = gradient_of(objective)
        clean = whole["image"].clip(0.05, 0.95)
        actual = np.asarray(gradient(clean, state, whole))
        direction = np.random.default_rng(1).standard_normal(clean.shape)
        step = 1e-6
        slope = (
            value(clean + step * direction, state, whole)
            - value(clean - step * direction, state, whole)
        ) / (2 * step)
    assert np.sum(actual * direction) == pytest.approx(float(slope), rel=1e-6)
    assert np.abs(actual).max() > 1e-4


def test_the_gradient_of_a_pooled_rate_is_as_large_as_that_of_a_batch():
    alone, state = start(EqualisedOdds(decay=0.0, warmup=0, task_weight=0.0))
    pooled, kept = start(EqualisedOdds(decay=0.9, warmup=0, task_weight=0.0))
    call = value_of(pooled)
    for _ in range(60):
        kept = call(kept, seen(BATCH))[1]
    ours, wanted = (
        gradient_of(pooled)[0](BATCH["image"], kept, BATCH),
        gradient_of(alone)[0](BATCH["image"], state, BATCH),
    )
    np.testing.assert_allclose(ours, wanted, rtol=1e-2, atol=1e-7)


def test_a_step_down_the_gradient_narrows_the_gap():
    objective, state = start(EqualisedOdds(decay=0.0, warmup=0, task_weight=0.0))
    gradient, _ = gradient_of(objective)
    clean, before = (
        jnp.asarray(BATCH["image"]),
        value_of(objective)(state, seen(BATCH))[2]["soft_eodd"],
    )
    for _ in range(5):
        clean = clean - 2.0 * gradient(clean, state, BATCH)
    after = value_of(objective)(state, {**BATCH, "clean": np.asarray(clean)})[2]["soft_eodd"]
    assert float(after) < 0.9 * float(before)


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("diagnosers", [("bright", "outline")], ids="+".join)
def test_a_batch_of_one_class_stays_finite_and_leaves_the_threshold(diagnosers, label):
    objective, state = start(EqualisedOdds(track_threshold=True), *diagnosers)
    call = value_of(objective)
    _, state, _ = call(state, seen(BATCH))
    tau = np.asarray(state["tau"])
    assert np.all(tau != 0.5)
    single = {
        **BATCH,
        "labels": np.full_like(BATCH["labels"], label),
        "mask": np.zeros_like(BATCH["mask"]),
    }
    value, after, _ = call(state, seen(single))
    assert np.isfinite(float(value))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))
    np.testing.assert_array_equal(after["tau"], tau)
    assert np.isfinite(gradient_of(objective)[0](single["image"], state, single)).all()
    again, _, metrics = call(after, seen(BATCH))
    assert float(again) > 0
    assert float(metrics["soft_eodd"]) > 0.1


def test_a_batch_without_positives_of_a_group_keeps_the_groups_rate():
    objective, state = start(EqualisedOdds(decay=0.9, warmup=0, task_weight=0.0))
    call = value_of(objective)
    _, state, first = call(state, seen(BATCH))
    women = BATCH["attributes"][:, 0] == 0
    lacking = {**BATCH, "labels": np.where(women[:, None], 0.0, BATCH["labels"]).astype(np.float32)}
    _, after, second = call(state, seen(lacking))
    rate = [
        s["rates"]["numerator"][0, :, 1] / s["rates"]["denominator"][0, :, 1]
        for s in (state, after)
    ]
    np.testing.assert_allclose(rate[0], rate[1], rtol=1e-6)
    assert abs(float(second["soft_eodd"]) - float(first["soft_eodd"])) < 0.1


def test_a_cell_with_too_few_examples_leaves_the_gap():
    whole = seen(BATCH)
    whole["attributes"] = np.zeros_like(BATCH["attributes"])
    whole["attributes"][0, 0] = 1
    few, state = start(EqualisedOdds(decay=0.0, warmup=0, attributes=("sex",), min_count=2.0))
    assert float(value_of(few)(state, whole)[2]["soft_eodd"]) == 0
    enough, state = start(EqualisedOdds(decay=0.0, warmup=0, attributes=("sex",), min_count=1.0))
    assert float(value_of(enough)(state, whole)[2]["soft_eodd"]) > 0


def test_the_tracked_threshold_moves_towards_balance_and_stays_bounded():
    objective, state = start(EqualisedOdds(track_threshold=True, threshold_rate=1.0, decay=0.0))
    call, bright = value_of(objective), seen(BATCH, shift=0.3)
    for _ in range(40):
        _, state, _ = call(state, bright)
    score = np.asarray(
        context("bright")
        .diagnosers[0]
        .diagnoser.predict({"params": {"gain": 8.0}}, jnp.asarray(bright["clean"]))
    )
    tau = np.asarray(state["tau"])
    assert np.all((tau > 0.5) & (tau <= 0.98))
    for t in range(2):
        soft, label = 1 / (1 + np.exp(-(score[:, t] - tau[t]) / 0.3)), BATCH["labels"][:, t]
        balance = soft[label == 1].mean() - (1 - soft[label == 0].mean())
        assert abs(balance) < 0.02 or tau[t] > 0.97


def test_normalisation_lets_the_term_shrink():
    objective, state = start(EqualisedOdds(warmup=3, decay=0.0))
    call, fair = (
        value_of(objective),
        {
            **BATCH,
            "image": (0.5 + 0.45 * (2 * np.nan_to_num(BATCH["labels"]) - 1)).astype(np.float32),
        },
    )
    fair["clean"] = np.repeat(fair["image"], 4, 1)[:, None, :, None].repeat(8, 1)
    values = []
    for step in range(12):
        value, state, _ = call(
            state, seen(BATCH) if step < 3 else {**BATCH, "clean": fair["clean"]}
        )
        values.append(float(value))
    assert values[0] == pytest.approx(1.0, rel=1e-5)
    assert values[-1] < 0.3
    assert values[-1] == pytest.approx(values[3], rel=1e-4)
    assert int(state["scale"]["steps"]) == 3


@pytest.mark.parametrize("fields", [{"track_threshold": True}, {"threshold": "batch"}], ids=str)
@pytest.mark.parametrize("diagnosers", [("bright", "outline")], ids="+".join)
def test_value_state_and_gradient_do_not_depend_on_the_number_of_devices(diagnosers, fields):
    objective, state = start(EqualisedOdds(**fields), *diagnosers)
    whole = seen(BATCH)
    uneven = {**whole, "weight": np.where(np.arange(16) < 5, 0.0, 1.0).astype(np.float32)}

    def step(kept, part):
        def loss(shift):
            return objective(part["clean"] + shift, part, kept, KEY)[0]

        value, kept, metrics = objective(part["clean"], part, kept, KEY)
        return value, kept, metrics, jax.lax.pmean(jax.grad(loss)(0.01), AXIS)

    one, four = (on_devices(step, n)(state, uneven) for n in (1, 4))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    assert abs(float(one[3])) > 1e-3


def test_the_ratio_of_errors_is_that_of_soft_dice():
    objective, state = start(EqualisedOdds(decay=0.0, warmup=0, attributes=("sex",)), "outline")
    _, _, metrics = value_of(objective)(state, seen(BATCH))
    p = 1 / (1 + np.exp(-8 * (BATCH["image"].astype(float) - 0.5)))
    dice = (2 * (p * BATCH["mask"]).sum((1, 2, 3)) + 1) / (
        p.sum((1, 2, 3)) + BATCH["mask"].sum((1, 2, 3)) + 1
    )
    errors = [
        1 - dice[(BATCH["attributes"][:, 0] == g) & (BATCH["mask"].sum((1, 2, 3)) > 0)].mean()
        for g in (0, 1)
    ]
    assert float(metrics["soft_ser"]) == pytest.approx(max(errors) / min(errors), rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": 0.0}, "weight must be a positive number"),
        ({"combine": "mean"}, "combine"),
        ({"decay": 1.0}, "decay"),
        ({"threshold": 0.0}, "threshold must lie in"),
        ({"threshold": "median"}, "threshold must be one of|'threshold' takes"),
        ({"threshold": "batch", "track_threshold": True}, "track_threshold moves a threshold"),
        ({"min_count": -1.0}, "min_count must be at least 0"),
        ({"min_count": float("inf")}, "min_count must be at least 0 and finite, got inf"),
        ({"lambda_": 1.0}, "has no field 'lambda_'"),
    ],
)
def test_a_refused_field_is_named(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_mitigation("equalised_odds", **fields)


def test_an_attribute_or_task_that_nobody_knows_is_named():
    with pytest.raises(ValueError, match="'height' needs attributes of cohort 'small'"):
        start(EqualisedOdds(attributes=("height",)))[0].groups  # noqa: B018
    with pytest.raises(ValueError, match="no frozen diagnoser has 'tumour'"):
        EqualisedOdds(tasks=("tumour",)).objective(context("bright"))
