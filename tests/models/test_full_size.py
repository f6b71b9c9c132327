"""The networks at the size of the paper agree with PyTorch networks of the same weights."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from experiments.benchmarks.torch_irsde import TorchConditionalUNet
from fairrecon_jax.models import ConditionalUNet, Pix2PixGenerator, UNet, convert, init_network
from tests.support.torch_networks import PaperUNet, TorchGenerator, randomise, torch

CASES = {
    "U-Net": (lambda: PaperUNet(64, 4, False), lambda: UNet(1, 64, 4), 1, 32, 31_030_593),
    "Pix2Pix": (
        lambda: TorchGenerator(64, 7),
        lambda: Pix2PixGenerator(1, 64, 7),
        1,
        128,
        41_822_849,
    ),
    "IR-SDE": (
        lambda: TorchConditionalUNet(64, 4),
        lambda: ConditionalUNet(1, 64, 4),
        2,
        16,
        137_133_825,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_parity_with_pytorch_in_evaluation(name):
    theirs, ours, images, size, count = CASES[name]
    module, network = randomise(theirs()).eval(), ours()
    variables = convert(
        network, {key: value.numpy().copy() for key, value in module.state_dict().items()}
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    inputs = list(np.random.default_rng(0).random((images, 1, size, size, 1), np.float32))
    time = [np.array([40.0], np.float32)] if images == 2 else []
    with torch.no_grad():
        expected = module(
            *(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in inputs),
            *map(torch.from_numpy, time),
        )
    actual = jax.jit(lambda v, *given: network.apply(v, *given, train=False))(
        variables, *inputs, *time
    )
    expected = expected.numpy().transpose(0, 2, 3, 1)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_the_untrained_u_net_is_off_by_no_more_than_the_image():
    network, image = UNet(1, 64, 4), np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    params = init_network(network, "net", jax.random.key(0), image)["params"]["net"]
    # the program of the test above
    run = jax.jit(lambda v, *given: network.apply(v, *given, train=False))
    assert 0.05 < np.mean((run({"params": params, "batch_stats": {}}, image) - image) ** 2) < 1
