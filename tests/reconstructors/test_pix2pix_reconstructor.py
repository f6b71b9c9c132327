"""The Pix2Pix reconstructor: losses by hand, what each phase moves, devices, determinism, resuming
in the loop.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.keys import example_digest, example_keys
from fairrecon_jax.models import apply_network
from fairrecon_jax.reconstructors import (
    Pix2PixReconstructor,
    Reconstructor,
    gan_loss,
    make_reconstructor,
)
from fairrecon_jax.runtime.devices import map_step, replicate
from fairrecon_jax.training import TrainConfig, optim
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.state import create
from fairrecon_jax.training.step import train_step

KEY = jax.random.key(0)
CONFIG = TrainConfig(
    steps=4, batch_size=4, learning_rate=1e-3, b1=0.5, log_every=1, checkpoint_every=2
)


def tiny(**fields) -> Pix2PixReconstructor:
    return Pix2PixReconstructor(
        **{"width": 2, "downsamplings": 2, "disc_width": 2, "disc_layers": 1, "bn_axis": None}
        | fields
    )


def make_batch(count: int = 4, size: int = 16) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    image = random.random((count, size, size, 1), np.float32)
    return {
        "image": image,
        "degraded": np.clip(image + 0.2 * random.standard_normal(image.shape), 0, 1).astype(
            np.float32
        ),
        "example_id": random.integers(0, 2**32, (count, 2), dtype=np.uint32),
        "weight": np.array([1, 2, 1, 3], np.float32)[:count],
    }


def lively(reconstructor: Pix2PixReconstructor, batch) -> dict:
    """Start values large enough that every part of the networks matters."""
    variables = reconstructor.init(KEY, batch)
    return {
        **variables,
        "params": jax.tree.map(
            lambda leaf: 10 * leaf if leaf.ndim == 4 else leaf, variables["params"]
        ),
    }


def phase_step(
    reconstructor: Pix2PixReconstructor,
    phases: slice = slice(None),
    devices: int = 1,
    config: TrainConfig = CONFIG,
):
    """The loop's own step on some of the phases, and the state before it."""

    @dataclasses.dataclass(frozen=True)
    class Part:
        phases: tuple

    batch = make_batch()
    optimizer = optim.optimizer(config)
    state = create(
        lively(reconstructor, batch), ("discriminator", "generator"), optimizer, 0, False, {}
    )
    step = map_step(
        train_step(Part(reconstructor.phases[phases]), config, optimizer), devices, donate=False
    )
    return step, state, batch


def test_the_registry_builds_it():
    built = make_reconstructor("pix2pix", width=8, gan="lsgan", lambda_l1=1000)
    assert isinstance(built, Reconstructor)
    assert (built.width, built.gan, built.lambda_l1, hash(built)) == (8, "lsgan", 1000, hash(built))
    assert [phase.network for phase in built.phases] == ["discriminator", "generator"]
    with pytest.raises(TypeError, match="field 'gan' takes Literal"):
        make_reconstructor("pix2pix", gan="wasserstein")


def test_sizes_that_do_not_work_are_refused():
    Pix2PixReconstructor().check(256)
    with pytest.raises(
        ValueError,
        match="100x100 pixels cannot be halved 7 times: choose a size that is a multiple of 128",
    ):
        Pix2PixReconstructor().check(100)
    with pytest.raises(
        ValueError, match="16 pixels are too small for a discriminator of 3 layers: it needs 24"
    ):
        Pix2PixReconstructor(downsamplings=3).check(16)


@pytest.mark.parametrize("real", [True, False])
def test_losses_of_logits_agree_with_pytorch(real):
    torch = pytest.importorskip("torch")
    logits = np.array([-50.0, -1.5, 0.0, 0.3, 80.0], np.float32)
    target = torch.full((5,), float(real))
    for kind, function in (
        ("vanilla", torch.nn.functional.binary_cross_entropy_with_logits),
        ("lsgan", torch.nn.functional.mse_loss),
    ):
        expected = function(torch.from_numpy(logits), target, reduction="none").numpy()
        np.testing.assert_allclose(
            gan_loss(kind, jnp.asarray(logits), real), expected, rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("gan", ["vanilla", "lsgan"])
def test_losses_are_the_formulas(gan):
    """The halved loss of D and the weighted sum of G, put together in NumPy from the networks'
    outputs.
    """
    reconstructor, batch = tiny(gan=gan, lambda_l1=7.0), make_batch()
    variables = lively(reconstructor, batch)

    @jax.jit
    def run(variables, batch):
        fake = reconstructor.reconstruct(variables, batch["degraded"], None)
        pairs = [
            jnp.concatenate([batch["degraded"], image], axis=-1) for image in (batch["image"], fake)
        ]
        logits = [
            apply_network(
                reconstructor.discriminator, "discriminator", variables, pair, train=False
            )[0]
            for pair in pairs
        ]
        losses = [phase.loss(variables, batch, KEY, False) for phase in reconstructor.phases]
        return fake, logits, losses

    fake, logits, ((disc, disc_out), (gen, gen_out)) = run(variables, batch)

    def mean(values):
        return np.average(np.asarray(values).reshape(4, -1).mean(1), weights=batch["weight"])

    def loss(z, t):
        z = np.asarray(z, np.float64)
        probability = 1 / (1 + np.exp(-z))
        return (
            (z - t) ** 2
            if gan == "lsgan"
            else -t * np.log(probability) - (1 - t) * np.log(1 - probability)
        )

    assert float(disc) == pytest.approx(
        (mean(loss(logits[0], 1)) + mean(loss(logits[1], 0))) / 2, rel=1e-5
    )
    assert float(disc) == pytest.approx(
        float(disc_out.metrics["real"] + disc_out.metrics["fake"]) / 2, rel=1e-6
    )
    assert float(gen) == pytest.approx(
        mean(loss(logits[1], 1)) + 7 * mean(np.abs(fake - batch["image"])), rel=1e-5
    )
    assert disc_out.clean is None
    np.testing.assert_allclose(gen_out.clean, fake, atol=1e-6)


def changed(before, after) -> bool:
    return any(
        bool((a != b).any())
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )


@pytest.mark.parametrize(
    ("number", "own", "other"),
    [(0, "discriminator", "generator"), (1, "generator", "discriminator")],
)
def test_a_phase_moves_its_own_network_only(number, own, other):
    step, state, batch = phase_step(tiny(bn_axis="batch"), slice(number, number + 1))
    after, _ = step(state, batch)
    for field in ("params", "batch_stats", "opt_state"):
        assert changed(getattr(state, field)[own], getattr(after, field)[own]), field
        assert not changed(getattr(state, field)[other], getattr(after, field)[other]), field


def test_steps_of_the_discriminator_alone_lower_its_loss():
    step, state, batch = phase_step(
        tiny(bn_axis="batch"), slice(0, 1), config=dataclasses.replace(CONFIG, learning_rate=0.02)
    )
    losses = []
    for _ in range(6):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[1] < losses[0]
    assert losses[-1] < 0.9 * losses[0]


def test_the_discriminator_averages_its_statistics_over_outputs_and_then_originals():
    """Two moves by a tenth of the way from 0: 0.9 * 0.1 * (batch mean of outputs) + 0.1 * (batch
    mean of originals).
    """
    reconstructor, batch = tiny(), make_batch()
    variables = lively(reconstructor, batch)

    @jax.jit
    def run(variables, batch):
        _, output = reconstructor.discriminator_loss(variables, batch, KEY, True)
        fake = reconstructor.generator_loss(variables, batch, KEY, True)[1].clean
        means = []
        for image in (fake, batch["image"]):
            pair = jnp.concatenate([batch["degraded"], image], axis=-1)
            _, alone = apply_network(
                reconstructor.discriminator, "discriminator", variables, pair, train=True
            )
            means.append(alone["discriminator"]["norm1"]["mean"])
        return output.statistics["discriminator"]["norm1"]["mean"], means

    actual, (on_fake, on_real) = run(variables, batch)
    np.testing.assert_allclose(actual, 0.9 * on_fake + on_real, rtol=1e-5, atol=1e-6)


def test_one_and_two_devices_agree():
    """Unequal weights and batch statistics over all devices: the same state whatever the split."""
    reconstructor = tiny(bn_axis="batch")
    states = []
    for devices in (1, 2):
        batch, optimizer = (
            make_batch(),
            optim.optimizer(dataclasses.replace(CONFIG, learning_rate=1e-4)),
        )
        state = create(
            lively(reconstructor, batch), ("discriminator", "generator"), optimizer, 0, False, {}
        )
        step = map_step(train_step(reconstructor, CONFIG, optimizer), devices, donate=False)
        states.append(step(replicate(state, devices), batch))
    for a, b in zip(
        *(jax.tree.leaves((state.batch_stats, metrics)) for state, metrics in states), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    gradients = [state.opt_state["generator"][0].mu for state, _ in states]
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(
            a, b, atol=1e-4 * float(jnp.abs(a).max()) + 1e-6
        )  # sums in another order through the batch norms


def test_reconstruction_is_deterministic_and_by_image():
    """The same image gives the same reconstruction in any batch, whatever the key; evaluation
    judges just that.
    """
    reconstructor, batch = tiny(dropout=0.5), make_batch()
    variables = lively(reconstructor, batch)
    run = jax.jit(lambda v, x, k: reconstructor.reconstruct(v, x, k))
    whole = run(variables, batch["degraded"], example_keys(KEY, batch["example_id"]))
    other = run(
        variables, batch["degraded"][::-1], example_keys(jax.random.key(5), batch["example_id"])
    )
    np.testing.assert_allclose(whole, other[::-1], atol=1e-6)
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    errors = jax.jit(reconstructor.evaluate)(variables, batch, KEY)
    np.testing.assert_allclose(
        errors["mse"][0],
        np.mean((np.asarray(whole) - batch["image"]) ** 2, axis=(1, 2, 3)),
        rtol=1e-4,
    )


@dataclasses.dataclass(frozen=True)
class Slices:
    """Examples that are functions of their row number."""

    count: int = 12

    def example(self, i: int):
        return {
            "image": np.random.default_rng(i).random((16, 16, 1), dtype=np.float32),
            "mask": np.zeros((16, 16, 0), np.float32),
            "labels": np.zeros(1, np.float32),
            "attributes": np.zeros(1, np.int32),
            "example_id": example_digest(f"example{i}"),
            "index": np.int32(i),
            "weight": np.float32(1),
        }


def blur(batch, key):
    image = jnp.asarray(batch["image"])
    return {**batch, "degraded": 0.5 * image + 0.5 * jnp.roll(image, 1, axis=1)}


@dataclasses.dataclass(frozen=True)
class Breaking(Slices):
    """Cannot be read any more after a number of examples."""

    read: list = dataclasses.field(default_factory=list)

    def example(self, i: int):
        self.read.append(i)
        if len(self.read) > 40:
            raise OSError("the disk is gone")
        return Slices.example(self, i)


@pytest.mark.slow
def test_the_loop_trains_both_networks_and_continues_exactly(tmp_path: Path):
    reconstructor = tiny(bn_axis="batch")
    config = dataclasses.replace(
        CONFIG, steps=12, eval_every=6, selection="psnr", selection_mode="max", checkpoint_every=4
    )
    val = (Slices(), np.arange(8, 12))

    def learn(workdir: Path, cohort):
        return fit(
            reconstructor, (cohort, np.arange(8)), val, config, workdir, prepare=blur, devices=1
        )

    straight = learn(tmp_path / "straight", Slices())
    assert (
        sorted(straight["params"])
        == sorted(straight["batch_stats"])
        == ["discriminator", "generator"]
    )
    with pytest.raises(OSError, match="the disk is gone"):
        learn(tmp_path / "broken", Breaking())
    assert list((tmp_path / "broken" / "checkpoints").iterdir())
    resumed = learn(tmp_path / "broken", Slices())
    assert jax.tree.all(jax.tree.map(np.array_equal, straight, resumed))
    text = (tmp_path / "straight" / "metrics.jsonl").read_text()
    assert all(name in text for name in ('"generator/l1"', '"discriminator/real"', '"psnr"'))


def test_an_objective_reaches_the_generator_alone():
    """Its gradient arrives through the clean estimate; the phase of the discriminator does not see
    it.
    """

    class Dark:
        def init(self, key, batch):
            return {}

        def __call__(self, clean, batch, state, key):
            return 1e4 * jnp.mean(clean), state, {"brightness": jnp.mean(clean)}

    reconstructor, batch = tiny(bn_axis="batch"), make_batch()
    optimizer = optim.optimizer(CONFIG)
    state = create(
        lively(reconstructor, batch), ("discriminator", "generator"), optimizer, 0, False, {}
    )
    step = map_step(train_step(reconstructor, CONFIG, optimizer, objective=Dark()), 1, donate=False)
    after, metrics = step(state, batch)
    added = float(metrics["generator/loss"] - metrics["generator/loss_without_objective"])
    assert added == pytest.approx(1e4 * float(metrics["generator/brightness"]), rel=1e-4)
    assert "discriminator/loss_without_objective" not in metrics
    gradient = after.opt_state["generator"][0].mu["upconv0"]["bias"]
    assert (
        float(gradient[0]) > 100
    )  # half of the slope of 1e4 times the sigmoid's mean, which nothing else comes near
