"""Trainings from several starts: their laws, and the table over seeds."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr
from experiments import start


def test_kernels_follow_the_law_and_the_rest_is_constant() -> None:
    model = fr.Segmenter(("tumour",), (0,), backbone="resnet18_unet", width=16)
    image = np.zeros((1, 64, 64, 1), np.float32)
    fresh = model.init(jax.random.key(0), {"image": image})
    assert start.started(fresh, "published", 0) is fresh
    for name, variance in (("Flax", 1 / (9 * 32)), ("He", 2 / (9 * 32))):
        drawn = start.started(fresh, name, 0)
        jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), drawn, fresh)
        kernel = drawn["params"]["segmenter"]["layer2_0"]["conv2"]["kernel"]
        assert kernel.std() == pytest.approx(math.sqrt(variance), rel=0.05)
        assert np.all(drawn["params"]["segmenter"]["bn1"]["scale"] == 1)
    assert start.he(("params", "unet", "head", "kernel"), (1, 1, 4, 1)) == 0.5
    # an output of a transposed convolution of stride 2 sees one of four taps
    assert start.he(("params", "unet", "upconv0", "kernel"), (2, 2, 4, 8)) == 0.5


def test_the_table_over_seeds_by_hand() -> None:
    columns = ["network", "start", "seed", "measure", "value"]
    rows = pd.DataFrame(
        [["net", name, seed, "mse", value + seed]
         for name, value in (("published", 1.0), ("Flax", 3.0), ("He", 5.0))
         for seed in (0, 2)],
        columns=columns,
    )  # fmt: skip
    (line,) = start.summary(rows).to_dict("records")
    assert line == {
        "network": "net",
        "measure": "mse",
        "published": "2 ± 1.4",
        "Flax": "4 ± 1.4",
        "He": "6 ± 1.4",
    }


def test_a_small_network_is_trained_from_every_start() -> None:
    case = start.cases()["U-Net"]
    small = dataclasses.replace(
        case,
        model=fr.UNetReconstructor(start="torch", width=2, depth=1),
        choices={**case.choices, "steps": 1, "batch_size": 4, "validation": 0},
    )
    given = start.chest(4, 0)
    rows = start.trained("U-Net", small, 1, given, given)
    assert sorted(set(rows["start"])) == ["Flax", "He", "published"]
    assert np.isfinite(rows["value"]).all()
    value = rows[rows["measure"] == "psnr"].set_index("start")["value"]
    assert value["Flax"] != value["He"]


def test_an_untrained_network_of_the_published_start_gives_nothing_yet() -> None:
    image = start.chest(2, 0)["image"][..., None]
    rows = start.untrained(1, image, width=16, depth=4).set_index("start")["value"]
    assert 0.1 < rows["published"] < 1
    assert len(set(rows)) == 3
