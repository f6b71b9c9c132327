"""Counts of the roofline against counts by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments import roofline
from experiments.paper_steps import Training, studies
from fairrecon_jax.models import UNet
from fairrecon_jax.reconstructors import UNetReconstructor
from fairrecon_jax.training.config import TrainConfig

WIDTH, DEPTH, SIZE, BATCH = 16, 2, 32, 4


def by_hand() -> tuple[int, int]:
    """Operations of the U-Net's forward pass, and of its training step's products.

    A 3x3 kernel has 3 n - 2 places along an axis of n pixels that lie on the image. The gradient of
    a convolution is two of its size, one of them left out for the images.
    """
    forward, first = 0, 0

    def block(inputs: int, outputs: int, size: int) -> int:
        taps = (3 * size - 2) ** 2
        return 2 * BATCH * taps * (inputs * outputs + outputs * outputs)

    widths = [WIDTH * 2**level for level in range(DEPTH + 1)]
    for level in range(DEPTH):
        size = SIZE // 2**level
        forward += block([1, *widths][level], widths[level], size)
        forward += block(2 * widths[level], widths[level], size)
        # four matrix products a pixel of the smaller image
        forward += 2 * BATCH * (size // 2) ** 2 * widths[level + 1] * 4 * widths[level]
    forward += block(widths[-2], widths[-1], SIZE // 2**DEPTH)
    forward += 2 * BATCH * SIZE**2 * WIDTH
    first = 2 * BATCH * (3 * SIZE - 2) ** 2 * WIDTH
    return forward, 3 * forward - first


@pytest.fixture(scope="module")
def training() -> Training:
    model = UNetReconstructor(width=WIDTH, depth=DEPTH)
    config = TrainConfig(steps=10, batch_size=BATCH)

    def prepare(batch: Any, key: Any) -> Any:
        return {**batch, "degraded": batch["image"]}

    return Training(model, config, SIZE, prepare, studies()["chexpert"][1])


def test_operations_of_a_network_are_those_by_hand(training: Training) -> None:
    network, image = UNet(1, WIDTH, DEPTH), jnp.zeros((BATCH, SIZE, SIZE, 1))
    params = jax.eval_shape(network.init, jax.random.key(0), image)
    forward, step = by_hand()
    # biases, ReLUs and pooling are the rest
    assert roofline.operations(network.apply, params, image) == pytest.approx(forward, rel=0.02)
    found = roofline.cost(training, training.state())
    assert found.operations == pytest.approx(step, rel=0.03)
    assert found.parameters == roofline.size(params)
    assert found.optimiser == pytest.approx(2 * found.parameters, rel=1e-3)
    assert found.gradient == found.parameters


def test_what_is_kept_falls_with_parts_remat_and_bfloat16(training: Training) -> None:
    variables = training.state().variables

    def kept(**changes: Any) -> int:
        return roofline.kept(training.but(**changes), variables)

    plain = kept()
    assert kept(accumulate=2) == pytest.approx(plain / 2, rel=0.02)
    assert kept(remat=True) < 0.8 * plain
    assert kept(precision="bfloat16") < 0.7 * plain


def test_traffic_of_a_product_and_of_a_loop() -> None:
    def product(a: Any, b: Any) -> Any:
        return jnp.tanh(a @ b)

    def loop(a: Any, b: Any) -> Any:
        return jax.lax.scan(lambda a, _: (product(a, b), None), a, length=5)[0]

    a, b = jnp.zeros((8, 8)), jnp.zeros((8, 8), jnp.bfloat16)
    once = 8 * 8 * (4 + 4 + 4)  # b is widened before the product
    assert roofline.traffic(jax.make_jaxpr(product)(a, b.astype(jnp.float32)).jaxpr) == once
    assert roofline.traffic(jax.make_jaxpr(loop)(a, b.astype(jnp.float32)).jaxpr) == 5 * once
    assert roofline.largest(jax.make_jaxpr(loop)(a, a).jaxpr) == 8 * 8 * 4


def test_what_bounds_a_step_and_which_card_holds_it() -> None:
    machine = roofline.Machine("one", {"float32": 100.0}, 10.0, 16e9)
    cost = roofline.Cost(1000.0, 50.0, 1, 2, 1, 5, 3)
    assert cost.memory == 1 + 2 + 1 + 5 + 2 * 3
    assert cost.intensity == 20
    assert cost.seconds(machine, "float32") == (10.0, "compute")
    slow = dataclasses.replace(cost, traffic=500.0)
    assert slow.seconds(machine, "float32") == (50.0, "bandwidth")
    assert [roofline.fits(x) for x in (14e9, 15e9, 71e9, 73e9)] == [
        "16 GB",
        "40 GB",
        "80 GB",
        "none",
    ]


def test_steps_of_both_studies_that_cost_the_same_are_one_row() -> None:
    found = roofline.alike()
    assert "chexpert unet, ucsf_pdgm unet" in found
    assert "ucsf_pdgm grade, ucsf_pdgm type" in found
    assert len(found) == 6
    one = found["chexpert unet, ucsf_pdgm unet"][0]
    cells = roofline.row("unet", one, roofline.Cost(156e12, 1.0, 0, 0, 0, 0, 0), [3600, 7200])
    assert cells[-3] == "1000.0 ms (compute), 2.5 / 5.0 h"


def test_a_name_of_no_training_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "alike", lambda: {"chexpert unet, ucsf_pdgm unet": []})
    with pytest.raises(SystemExit) as ended:
        roofline.main(["--only=nosuch"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "has 'nosuch' in its name; there are chexpert unet, ucsf_pdgm unet" in said.err
    assert not said.out
