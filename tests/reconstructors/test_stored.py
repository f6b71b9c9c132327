"""Images that something else reconstructed, handed on as they come."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import Elsewhere
from fairrecon_jax.reconstructors import Reconstructor, Stored, make_reconstructor
from fairrecon_jax.reconstructors.interface import GivesImages
from fairrecon_jax.types import InputError

RNG = np.random.default_rng(0)
BATCH = {
    "image": RNG.random((3, 8, 8, 1), np.float32),
    "stored_vendor": RNG.random((3, 8, 8, 1), np.float32),
    "stored_degraded": RNG.random((3, 8, 8, 1), np.float32),
    "weight": np.ones(3, np.float32),
}


def test_images_come_with_the_batch():
    model = make_reconstructor("stored", images="vendor")
    assert isinstance(model, Reconstructor)
    assert isinstance(model, GivesImages)
    assert not isinstance(make_reconstructor("identity"), GivesImages)
    degraded, image = jax.jit(model.given)(BATCH)
    np.testing.assert_array_equal(image, BATCH["stored_vendor"])
    np.testing.assert_array_equal(degraded, BATCH["stored_degraded"])
    without = {name: value for name, value in BATCH.items() if name != "stored_degraded"}
    assert model.given(without)[0] is None
    error = np.mean((BATCH["image"] - BATCH["stored_vendor"]) ** 2, (1, 2, 3))
    value, _ = model.evaluate({}, BATCH, jax.random.key(0))["mse"]
    np.testing.assert_allclose(value, error, rtol=1e-5)


def test_what_it_is_called():
    assert Stored("vendor").method == ("vendor", "", False)
    assert Stored("vendor", title="DLIR high").method.title == "DLIR high"
    assert Stored("degraded").method.degraded


def test_it_reconstructs_nothing_and_nothing_is_degraded():
    with pytest.raises(InputError, match="cannot reconstruct others"):
        Stored("vendor").reconstruct({}, jnp.ones((1, 8, 8, 1)), jax.random.key(0))
    with pytest.raises(InputError, match="the images come without 'other'"):
        Stored("other").given(BATCH)
    physics = Elsewhere(8)
    ids = np.zeros((3, 2), np.uint32)
    with pytest.raises(InputError, match="degraded elsewhere"):
        physics(physics.operator(1.0), BATCH["image"], ids, jax.random.key(0))
    assert not physics.describe((4.0,), 4.0).is_named
