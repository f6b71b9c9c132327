"""The diffusion reconstructor: loss against float64, what a mitigation objective sees, sampling,
averaging, refusals.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.diffusion import PRESETS
from fairrecon_jax.keys import example_keys
from fairrecon_jax.reconstructors import IrsdeReconstructor
from fairrecon_jax.reconstructors.irsde import CLEAN, MATCH, SAMPLE, draw_time
from fairrecon_jax.runtime.devices import map_step
from fairrecon_jax.training.step import OBJECTIVE
from fairrecon_jax.types import Batch

SIZE = 8
FAST = PRESETS["ode2_5"]
KEY = jax.random.key(0)


def make_batch(count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    image = random.random((count, SIZE, SIZE, 1), np.float32)
    return {
        "image": image,
        "degraded": np.clip(image + 0.1 * random.standard_normal(image.shape), 0, 1).astype(
            np.float32
        ),
        "example_id": random.integers(0, 2**32, (count, 2), dtype=np.uint32),
        "weight": np.array([1, 2, 0, 1, 1, 1, 1, 1], np.float32)[:count],
        "index": np.arange(count, dtype=np.int32),
    }


def tiny(**fields) -> IrsdeReconstructor:
    return IrsdeReconstructor(
        **{"width": 4, "depth": 1, "attention": False, "sampler": FAST, "bn_axis": None} | fields
    )


def stirred(reconstructor, batch, scale: float = 0.3):
    """Variables without the zeros of the start."""
    random = np.random.default_rng(9)

    def stir(leaf):
        return np.asarray(leaf) + scale * random.standard_normal(leaf.shape).astype(np.float32)

    return jax.tree.map(stir, reconstructor.init(KEY, batch))


def rows(batch: Batch, which) -> dict[str, np.ndarray]:
    return {name: value[which] for name, value in batch.items()}


@pytest.mark.parametrize(("norm", "precondition"), [("l1", None), ("l2", (0.2, 0.05))])
def test_loss_equals_the_formula_in_float64(norm, precondition):
    reconstructor, batch = tiny(loss_norm=norm, precondition=precondition), make_batch()
    variables = stirred(reconstructor, batch)
    loss, _ = jax.jit(lambda v, b: reconstructor.loss(v, b, KEY, False))(variables, batch)
    t, noise, _, _ = jax.jit(lambda b: reconstructor._noisy(b, jax.random.fold_in(KEY, 0), 100))(
        batch
    )
    t, noise = np.asarray(t), np.asarray(noise, np.float64)
    sde, x0, mu = (
        reconstructor.sde,
        batch["image"].astype(np.float64),
        batch["degraded"].astype(np.float64),
    )
    a, sg, before, theta = (
        table[index][:, None, None, None]
        for table, index in ((sde.a, t), (sde.sg, t), (sde.a, t - 1), (sde.theta, t))
    )
    x = mu + a * (x0 - mu) + sg * noise
    actual = np.asarray(
        jax.jit(reconstructor.noise_estimate)(
            variables, *(v.astype(np.float32) for v in (mu, x)), t
        ),
        np.float64,
    )
    drift = theta * (mu - x) + 2 * sde.lam**2 * theta * actual / sg
    step = np.exp(-theta * sde.dt)
    best = (
        mu
        + step * (1 - before**2) / (1 - a**2) * (x - mu)
        + before * (1 - step**2) / (1 - a**2) * (x0 - mu)
    )
    unit = reconstructor.scaling.gain[t][:, None, None, None] if precondition else 1.0
    difference = np.abs((x - drift * sde.dt - best) / unit) ** (1 if norm == "l1" else 2)
    assert float(loss) == pytest.approx(
        np.average(difference.mean((1, 2, 3)), weights=batch["weight"]), rel=1e-4
    )


def test_the_true_noise_has_almost_no_loss():
    """What is left is the difference between Euler's step and the exact one, far below that of no
    estimate.
    """
    sde, batch = tiny().sde, make_batch(8)
    t, noise, x, mu = jax.jit(lambda b: tiny()._noisy(b, KEY, 100))(batch)
    best = sde.optimal_reverse(x, batch["image"], mu, t)
    right, none = (
        float(jnp.abs(sde.reverse_mean(x, mu, t, e) - best).mean())
        for e in (noise, jnp.zeros_like(noise))
    )
    assert right < 0.1 * none


def test_loss_of_an_example_depends_on_that_example_alone():
    reconstructor, batch = tiny(precondition=(0.2, 0.1)), make_batch(6)
    variables = stirred(reconstructor, batch)
    run = jax.jit(reconstructor.evaluate)
    whole = run(variables, batch, KEY)
    for which in (slice(2, 5), np.array([5, 0, 3])):
        part = run(variables, rows(batch, which), KEY)
        for name in ("loss", "mse", "psnr"):
            np.testing.assert_allclose(part[name][0], whole[name][0][which], rtol=1e-4)
    other = run(variables, batch, jax.random.key(1))
    assert not np.allclose(other["loss"][0], whole["loss"][0], rtol=1e-2)


def test_times_cover_the_whole_range():
    t = np.asarray(
        tiny()._noisy(
            make_batch(8) | {"example_id": np.arange(16, dtype=np.uint32).reshape(8, 2)}, KEY, 3
        )[0]
    )
    assert set(t) == {1, 2, 3}


@pytest.mark.parametrize("precondition", [None, (0.2, 0.1)])
def test_an_objective_reaches_every_parameter(precondition):
    """The clean estimate is an image, and its gradient is finite and nowhere zero for good."""
    reconstructor, batch = tiny(precondition=precondition), make_batch(8)
    variables = stirred(reconstructor, batch, 0.1)

    def objective(params):
        _, output = reconstructor.loss({**variables, "params": params}, batch, KEY, False)
        return jnp.mean(output.clean * jnp.asarray(batch["image"])), output.clean

    (_, clean), gradient = jax.jit(jax.value_and_grad(objective, has_aux=True))(variables["params"])
    assert clean.shape == batch["image"].shape
    assert 0 <= float(clean.min()) <= float(clean.max()) <= 1
    assert float(jnp.mean((clean > 0) & (clean < 1))) > 0.5
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_the_clean_estimate_is_the_formula_at_an_early_time():
    reconstructor, batch = tiny(objective_max_t=20), make_batch()
    variables = stirred(reconstructor, batch, 0.05)
    t, _, x, mu = jax.jit(lambda b: reconstructor._noisy(b, KEY, 20))(batch)
    assert int(t.max()) <= 20
    a, sg = (
        table[np.asarray(t)][:, None, None, None]
        for table in (reconstructor.sde.a, reconstructor.sde.sg)
    )
    expected = mu + (x - mu - sg * jax.jit(reconstructor.noise_estimate)(variables, mu, x, t)) / a
    found = jax.jit(reconstructor.clean_estimate)(variables, batch, KEY)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-5)


def test_without_an_objective_the_clean_estimate_costs_nothing():
    reconstructor, batch = tiny(width=8), make_batch()
    variables = reconstructor.init(KEY, batch)

    def work(with_clean: bool) -> float:
        def value(params):
            loss, output = reconstructor.loss({**variables, "params": params}, batch, KEY, False)
            return loss + (output.clean.mean() if with_clean else 0.0)

        return (
            jax.jit(jax.grad(value)).lower(variables["params"]).compile().cost_analysis()["flops"]
        )

    assert work(False) < 0.6 * work(True)


def test_a_fresh_preconditioned_network_knows_gaussian_originals():
    """Its estimate is the best linear one of x_0 - mu ~ N(0, sd^2): samples have that deviation."""
    reconstructor = tiny(precondition=(0.05, 0.05), sampler=PRESETS["paper"])
    batch = make_batch(8) | {
        "degraded": np.full((8, 32, 32, 1), 0.5, np.float32),
        "image": np.full((8, 32, 32, 1), 0.5, np.float32),
    }
    variables = reconstructor.init(KEY, batch)
    drawn = jax.jit(reconstructor.reconstruct)(
        variables, batch["degraded"], example_keys(KEY, batch["example_id"])
    )
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.003)
    assert float(drawn.std()) == pytest.approx(0.05, rel=0.05)


def test_training_lowers_the_loss():
    """On the one-device path, which raises where a value is not reduced over the axis."""
    reconstructor, batch = tiny(bn_axis="batch", precondition=(0.1, 0.05)), make_batch(8)
    (phase,) = reconstructor.phases

    def step(variables, batch):
        def loss_of(params):
            return phase.loss({**variables, "params": params}, batch, KEY, True)

        (loss, output), gradient = jax.value_and_grad(loss_of, has_aux=True)(variables["params"])
        gradient, loss = jax.lax.pmean((gradient, loss), "batch")
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
        return {
            "params": jax.tree.map(lambda p, g: p - 0.1 * g / norm, variables["params"], gradient),
            "batch_stats": output.statistics,
        }, loss

    run, variables, losses = (
        map_step(step, devices=1, donate=False),
        reconstructor.init(KEY, batch),
        [],
    )
    for _ in range(25):
        variables, loss = run(variables, batch)
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]


@functools.lru_cache(maxsize=1)
def trained():
    reconstructor, batch = tiny(samples=3, sampler=PRESETS["sde2_20"]), make_batch(5)
    return (
        reconstructor,
        batch,
        stirred(reconstructor, batch, 0.02),
        example_keys(KEY, batch["example_id"]),
    )


def test_reconstruction_is_the_mean_of_its_samples():
    reconstructor, batch, variables, keys = trained()
    actual = reconstructed()
    single = dataclasses.replace(reconstructor, samples=1)
    drawn = []
    for i in range(3):
        streams = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
        drawn.append(
            jax.jit(single._sample, static_argnums=3)(
                variables, batch["degraded"], streams, single.sampler
            )
        )
    np.testing.assert_allclose(actual, np.clip(np.mean(drawn, axis=0), 0, 1), atol=1e-5)
    assert float(jnp.abs(drawn[0] - drawn[1]).max()) > 1e-3
    one = jax.jit(single.reconstruct)(variables, batch["degraded"], keys)
    np.testing.assert_allclose(one, np.clip(drawn[0], 0, 1), atol=1e-5)


@functools.lru_cache(maxsize=1)
def reconstructed():
    reconstructor, batch, variables, keys = trained()
    return jax.jit(reconstructor.reconstruct)(variables, batch["degraded"], keys)


@pytest.mark.parametrize("chunk", [1, 4, 15])
def test_parts_of_a_batch_give_the_same_images(chunk):
    reconstructor, batch, variables, keys = trained()
    whole = reconstructed()
    parts = jax.jit(dataclasses.replace(reconstructor, chunk=chunk).reconstruct)(
        variables, batch["degraded"], keys
    )
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert whole.dtype == jnp.float32
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1


@pytest.mark.parametrize("attention", [False, True])
def test_working_memory_is_bounded_by_the_chunk(attention):
    reconstructor = tiny(width=8, depth=2, attention=attention, chunk=4)
    image, keys = jnp.zeros((32, 64, 64, 1)), jax.random.split(KEY, 32)
    variables = jax.eval_shape(lambda: reconstructor.init(KEY, {"image": image}))
    used = (
        jax.jit(reconstructor.reconstruct)
        .lower(variables, image, keys)
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
    )
    bound = (60 * 8 + 3200 * attention) * 4 * 64 * 64
    assert 0.4 * bound < used < bound + 4 * image.size * 4


def test_bfloat16_is_near_float32():
    batch, t = make_batch(), np.array([3, 20, 60, 100])
    models = [tiny(precondition=(0.2, 0.1), dtype=dtype) for dtype in ("float32", "bfloat16")]
    variables = stirred(models[0], batch, 0.1)
    exact, rough = (
        jax.jit(model.noise_estimate)(variables, batch["degraded"], batch["image"], t)
        for model in models
    )
    assert 0 < float(jnp.abs(rough - exact).mean()) < 0.05 * float(jnp.abs(exact).mean())
    keys = example_keys(KEY, batch["example_id"])
    assert (
        jax.eval_shape(models[1].reconstruct, variables, batch["degraded"], keys).dtype
        == jnp.float32
    )


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_times_follow_their_law(power):
    """P(t <= s) = (s / T)^p: every count of 40,000 draws within five standard errors."""
    keys = jax.random.split(KEY, 40_000)
    t = np.asarray(jax.jit(jax.vmap(lambda key: draw_time(key, 20, power)))(keys))
    expected = np.diff((np.arange(21) / 20) ** power) * len(t)
    actual = np.bincount(t, minlength=21)
    assert actual[0] == 0
    assert len(actual) == 21
    assert (np.abs(actual[1:] - expected) < 5 * np.sqrt(expected) + 1).all()


def test_an_objective_draws_from_a_stream_of_its_own():
    assert len({MATCH, CLEAN, SAMPLE, OBJECTIVE}) == 4
