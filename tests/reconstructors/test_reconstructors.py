"""Reconstructors: the factory, the identity, and the U-Net's loss, validation and images."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.keys import example_keys
from fairrecon_jax.reconstructors import (
    RECONSTRUCTORS,
    Identity,
    Reconstructor,
    UNetReconstructor,
    make_reconstructor,
    register,
)
from fairrecon_jax.runtime.devices import map_step
from fairrecon_jax.training.trainable import Trainable

SIZE = 8


def make_batch(count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    image = random.random((count, SIZE, SIZE, 1), np.float32)
    return {
        "image": image,
        "degraded": np.clip(image + 0.2 * random.standard_normal(image.shape), 0, 1).astype(
            np.float32
        ),
        "example_id": random.integers(0, 2**32, (count, 2), dtype=np.uint32),
        "weight": np.array([1, 2, 0, 1], np.float32)[:count],
    }


def tiny(**fields) -> UNetReconstructor:
    return UNetReconstructor(**{"width": 4, "depth": 1, "bn_axis": None} | fields)


KEY = jax.random.key(0)


def test_factory_builds_what_the_registry_names():
    assert {"identity", "mse"} <= set(RECONSTRUCTORS)
    built = make_reconstructor("mse", width=8, depth=2, norm="batch")
    assert built == UNetReconstructor(8, 2, "batch")
    for reconstructor in (built, make_reconstructor("identity")):
        assert isinstance(reconstructor, Reconstructor)
        assert isinstance(reconstructor, Trainable)
        assert hash(reconstructor)


def test_factory_refuses_what_it_does_not_know():
    with pytest.raises(
        ValueError, match=r"unknown reconstructor 'unet'; choose one of .*identity.*mse"
    ):
        make_reconstructor("unet")
    with pytest.raises(
        ValueError,
        match=r"reconstructor 'mse' has no field 'with'; its fields are width, depth, norm",
    ):
        make_reconstructor("mse", **{"with": 3})
    with pytest.raises(TypeError, match="field 'width' takes int"):
        make_reconstructor("mse", width="wide")


def test_a_name_is_registered_once():
    class Other:
        pass

    with pytest.raises(ValueError, match="'mse' is already UNetReconstructor"):
        register("mse")(Other)
    assert register("mse")(UNetReconstructor) is UNetReconstructor


def test_identity_passes_on_and_has_nothing_to_train():
    batch, identity = make_batch(), Identity()
    variables = identity.init(KEY, batch)
    assert variables == {"params": {}, "batch_stats": {}}
    assert identity.phases == ()
    np.testing.assert_array_equal(
        identity.reconstruct(variables, batch["degraded"], None), batch["degraded"]
    )
    outside = np.array([-1.0, 0.5, 2.0], np.float32).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(
        identity.reconstruct(variables, outside, None).ravel(), [0, 0.5, 1]
    )


def test_evaluation_agrees_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    batch = make_batch()
    actual = Identity().evaluate({}, batch, KEY)
    for i in range(4):
        mse = metrics.mean_squared_error(batch["image"][i], batch["degraded"][i])
        psnr = metrics.peak_signal_noise_ratio(
            batch["image"][i], batch["degraded"][i], data_range=1
        )
        assert float(actual["mse"][0][i]) == pytest.approx(mse, rel=1e-5)
        assert float(actual["psnr"][0][i]) == pytest.approx(psnr, rel=1e-5)
    np.testing.assert_array_equal(actual["psnr"][1], batch["weight"])


def test_an_exact_estimate_has_a_finite_psnr():
    batch = make_batch()
    assert (
        Identity().evaluate({}, batch | {"degraded": batch["image"]}, KEY)["psnr"][0] == 100.0
    ).all()


def test_loss_is_the_weighted_mean_of_the_squared_error():
    batch, reconstructor = make_batch(), tiny()
    variables = reconstructor.init(KEY, batch)
    keys = example_keys(KEY, batch["example_id"])

    @jax.jit
    def run(variables, batch):
        raw = reconstructor.network.apply(
            {"params": variables["params"]["unet"]}, batch["degraded"]
        )
        return (
            raw,
            reconstructor.loss(variables, batch, KEY, False),
            reconstructor.reconstruct(variables, batch["degraded"], keys),
        )

    raw, (loss, output), reconstructed = run(variables, batch)
    errors = np.mean((np.asarray(raw) - batch["image"]) ** 2, axis=(1, 2, 3))
    assert float(loss) == pytest.approx(np.average(errors, weights=batch["weight"]), rel=1e-5)
    assert float(output.metrics["mse"]) == float(loss)
    np.testing.assert_allclose(output.clean, np.clip(raw, 0, 1), atol=1e-6)
    np.testing.assert_allclose(reconstructed, output.clean, atol=1e-6)


def test_residual_form_with_a_silent_network_is_the_identity():
    batch, reconstructor = make_batch(), tiny(residual=True)
    silent = jax.tree.map(jnp.zeros_like, reconstructor.init(KEY, batch))
    np.testing.assert_array_equal(
        jax.jit(reconstructor.reconstruct)(silent, batch["degraded"], None), batch["degraded"]
    )
    assert not np.any(jax.jit(tiny().reconstruct)(silent, batch["degraded"], None))


@pytest.mark.parametrize("norm", [None, "batch"])
def test_training_lowers_the_loss_and_keeps_the_structure(norm):
    """On the one-device path, which raises where a value is not reduced over the axis."""
    batch, reconstructor = make_batch(), tiny(norm=norm, bn_axis="batch", residual=True)
    variables = reconstructor.init(KEY, batch)
    (phase,) = reconstructor.phases

    def step(variables, batch):
        def loss_of(params):
            return phase.loss(
                {**variables, "params": {**variables["params"], phase.network: params}},
                batch,
                KEY,
                True,
            )

        (loss, output), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            variables["params"][phase.network]
        )
        gradient, loss = jax.lax.pmean((gradient, loss), "batch")
        params = jax.tree.map(
            lambda p, g: p - 0.02 * g, variables["params"][phase.network], gradient
        )
        return {"params": {phase.network: params}, "batch_stats": output.statistics}, loss

    run = map_step(step, devices=1, donate=False)
    structure, losses = jax.tree.structure(variables), []
    for _ in range(12):
        variables, loss = run(variables, batch)
        losses.append(float(loss))
    assert jax.tree.structure(variables) == structure
    assert losses[-1] < 0.9 * losses[0]


def test_bfloat16_gives_float32_images():
    batch, reconstructor = make_batch(), tiny(dtype="bfloat16")
    variables = reconstructor.init(KEY, batch)
    assert (
        jax.eval_shape(reconstructor.reconstruct, variables, batch["degraded"], None).dtype
        == jnp.float32
    )
