"""The benchmark modules at tiny sizes: both sides prepare, do the same work, and are timed by a
clock that ticks once a look.
"""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import (
    densenet,
    harness,
    inference,
    irsde,
    loader,
    own_images,
    pix2pix,
    unet,
)
from fairrecon_jax.inference import published_test
from fairrecon_jax.reconstructors import IrsdeReconstructor, Pix2PixReconstructor

SMALL = {"SIZE": 16, "BATCH": 2, "WIDTH": 2, "DEPTH": 2, "SHAPE": (2, 16, 16, 1)}


def set_all(monkeypatch, module, values) -> None:
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)


def timed(name: str, comparison: harness.Comparison) -> harness.Result:
    """The benchmark under a clock on which every call takes one second."""
    ticks = itertools.count()
    return harness.measure(name, comparison._replace(repeats=1), lambda: float(next(ticks)))


def size_of(parameters) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))


def torch_size(network) -> int:
    return sum(p.numel() for p in network.parameters())


# -- inference


@pytest.fixture
def cohort(monkeypatch):
    """The benchmark's cohort with 240 images of 90 patients and one diagnosis."""
    cohort_rows = inference.cohort(240, 90, 1)
    set_all(
        monkeypatch,
        inference,
        {
            "cohort": lambda: cohort_rows,
            "REPLICATES": 20,
            "TASKS": 1,
            "PATIENTS": 90,
            "IMAGES": 240,
        },
    )
    return cohort_rows


def test_the_cohort_has_the_shapes_that_the_bootstrap_takes():
    original, reconstructed, label, group, patient = inference.cohort(500, 200, 2)
    assert (original.shape, reconstructed.shape, label.shape) == (
        (2, 1, 500),
        (2, inference.RECONSTRUCTORS, 500),
        (2, 1, 500),
    )
    assert set(patient) == set(range(200)), "no patient is without an image"
    assert pd.Series(group).groupby(patient).nunique().max() == 1, "a patient is of one group"
    assert (reconstructed != original).mean() == pytest.approx(0.1, abs=0.03)
    assert original[label == 1].mean() > original[label == 0].mean() + 0.3


def test_the_gap_of_the_peer_by_hand():
    table = pd.DataFrame(
        [
            (1, "a", 1),
            (1, "a", 0),
            (1, "b", 1),
            (1, "b", 1),
            (0, "a", 0),
            (0, "a", 0),
            (0, "b", 1),
            (0, "b", 0),
        ],
        columns=["label", "group", "seen"],
    )
    assert inference.pandas_gap(table, "seen") == 0.5
    assert inference.pandas_gap(table.assign(seen=[1, 1, 0, 1, 0, 0, 0, 0]), "seen") == 0.5, (
        "the larger of 0.5 and 0"
    )
    assert inference.pandas_gap(table.assign(seen=[1, 0, 0, 1, 0, 0, 1, 1]), "seen") == 1.0, (
        "false alarms count as misses do"
    )


def test_both_sides_measure_the_same_gap(cohort):
    o, r, y = inference._problems(cohort)
    actual = published_test(
        o, r, y, cohort[3], 0, groups=inference.GROUPS, replicates=20, form="max"
    )
    table = inference.frame(cohort)
    for column, side in (("original", actual.original), ("reconstructed", actual.reconstructed)):
        assert float(side[0]) == pytest.approx(inference.pandas_gap(table, column), abs=1e-6)


def test_the_peer_resamples_without_moving_the_mean_and_by_its_seed(cohort):
    table = inference.frame(cohort)
    table = table.assign(reconstructed=table["original"])
    assert inference.pandas_bootstrap(table, 2).tolist() == [0.0, 0.0], (
        "equal decisions never differ in a paired resample"
    )
    table = inference.frame(cohort)
    first, again, other = (inference.pandas_bootstrap(table, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(set(first)) == 3
    assert not set(first) & set(other)


@pytest.mark.parametrize(
    ("name", "repeat"),
    [
        ("bootstrap_image", 6 * 1),
        ("bootstrap_fairlearn", 2 * 1),
        ("group_test", 3 * 1),
    ],
)
def test_bootstraps_run_and_say_by_how_much_the_peer_is_to_be_multiplied(cohort, name, repeat):
    if name == "bootstrap_fairlearn":
        pytest.importorskip("fairlearn")
    comparison = harness.REGISTRY[name]()
    result = timed(name, comparison)
    assert (result.ours_s, result.peer_s, result.ratio) == (1.0, 1.0, 1.0)
    draws = inference.DRAWS if name == "group_test" else 20
    problems = 1 * inference.RECONSTRUCTORS
    assert result.shape.startswith("240 images, 90 patients, 6 groups; ")
    assert result.shape.endswith(f"multiply ratio by {problems * draws / repeat:.0f}")


# -- networks


def falls(once, steps: int = 12) -> bool:
    """Whether repeated steps on one batch lower the loss."""
    losses = [float(once()) for _ in range(steps)]
    return np.isfinite(losses).all() and losses[-1] < losses[0]


def test_the_unet_has_as_many_parameters_as_its_peer_and_both_learn(monkeypatch):
    pytest.importorskip("torch")
    set_all(monkeypatch, unet, {**SMALL, "DEPTH": 1, "RATE": 1e-2})
    network = unet.UNet(1, 2, 1)
    params = unet.init_network(network, "unet", jax.random.key(0), unet._images()[0])["params"][
        "unet"
    ]
    assert size_of(params) == torch_size(unet._torch_network())
    assert falls(unet._ours_step())
    for channels_last in (False, True):
        assert falls(unet._torch_step(channels_last))


def test_the_unets_forward_passes_are_timed_on_images_of_the_named_shape(monkeypatch):
    pytest.importorskip("torch")
    set_all(monkeypatch, unet, SMALL)
    comparison = unet.unet_forward()
    assert comparison.ours().shape == comparison.shape == SMALL["SHAPE"]
    assert comparison.peer().shape == (2, 1, 16, 16)
    assert timed("unet_forward", comparison).ratio == 1.0
    one, other = (unet._torch_parts(channels_last)[1] for channels_last in (False, True))
    assert (one == other).all()
    assert (one.stride(), other.stride()) == ((256, 256, 16, 1), (256, 1, 16, 1)), (
        "the layouts differ, the images do not"
    )


def test_pix2pix_has_as_many_parameters_as_its_peer(monkeypatch):
    pytest.importorskip("torch")
    set_all(monkeypatch, pix2pix, {**SMALL, "DEPTH": 3, "LAYERS": 1})
    generator, judge = pix2pix._torch_networks()
    image = np.zeros(SMALL["SHAPE"], np.float32)
    model = Pix2PixReconstructor(2, 3, disc_width=2, disc_layers=1)
    params = jax.eval_shape(
        lambda: model.init(jax.random.key(0), {"image": image, "degraded": image})
    )["params"]
    names = [phase.network for phase in model.phases]
    assert {size_of(params[name]) for name in names} == {torch_size(generator), torch_size(judge)}


@pytest.fixture
def diffusion(monkeypatch):
    pytest.importorskip("torch")
    small = {**SMALL, "WIDTH": 4, "DEPTH": 1}
    set_all(
        monkeypatch,
        irsde,
        {**small, "MODEL": IrsdeReconstructor(width=4, depth=1, bn_axis=None), "RATE": 1e-3},
    )


def test_the_diffusion_network_has_as_many_parameters_as_its_peer(diffusion):
    params = jax.eval_shape(lambda: irsde.MODEL.init(jax.random.key(0), irsde._batch()))["params"]
    assert size_of(params) == torch_size(irsde._torch_network())


def test_the_peers_matching_step_and_both_evaluations_run(diffusion):
    assert np.isfinite(irsde._torch_step()())
    ours, peer = irsde._ours_evaluation()(), irsde._torch_evaluation()()
    assert (ours.shape, peer.shape) == ((2, 16, 16, 1), (2, 1, 16, 16))
    assert bool(np.isfinite(ours).all())
    assert np.isfinite(peer).all()


def test_every_benchmark_says_in_one_line_what_it_compares():
    harness.load_modules(__import__("experiments.benchmarks", fromlist=["harness"]))
    for name, function in harness.REGISTRY.items():
        assert function.__doc__, name
    kinds = {
        "bootstrap_image",
        "group_test",
        "unet_train_step",
        "pix2pix_train_step_channels_last",
        "irsde_fast_preset",
        "xray_poisson",
    }
    assert kinds <= set(harness.REGISTRY)


# -- densenet


def test_the_imported_densenet_gives_the_scores_of_pytorch(monkeypatch):
    """Compared inside the benchmark before anything is timed."""
    pytest.importorskip("torch")
    set_all(monkeypatch, densenet, {"SIZE": 32, "BATCH": 1})
    result = timed("densenet121_imported", densenet.densenet121())
    assert result.shape == (1, 32, 32, 1)
    assert torch_size(densenet.torch_network()) == 6_966_034


# -- images of one's own


@pytest.mark.parametrize("name", ["table_prepare", "stored_pairs_prepare", "stored_pairs_batches"])
def test_images_of_ones_own(monkeypatch, name):
    set_all(monkeypatch, own_images, {"COUNT": 8, "SIDE": 32, "SIZE": 16, "BATCH": 4})
    comparison = getattr(own_images, name)()
    ours, peer = comparison.ours(), comparison.peer()
    if name == "stored_pairs_batches":
        assert len(ours) == len(peer) == 2
        assert set(ours[0]) - set(peer[0]) == {"stored_vendor"}
        np.testing.assert_array_equal(ours[0]["image"], peer[0]["image"])
    else:
        assert [len(pd.read_parquet(side / "table.parquet")) for side in (ours, peer)] == [8, 8]
    assert timed(name, comparison).ratio == 1


# -- the loader


@pytest.mark.parametrize("name", ["loader_threads", "loader_records", "loader_png"])
def test_batches_and_their_parts_hold_the_same_images(monkeypatch, name):
    set_all(monkeypatch, loader, {"PATIENTS": 2, "SIZE": 32, "BATCH": 2, "BATCHES": 2})
    comparison = getattr(loader, name)()
    ours, peer = comparison.ours(), comparison.peer()
    if name == "loader_threads":
        assert [len(batch["image"]) for batch in ours] == [2, 2]
        assert len(peer) == 4
        known = [one["image"].tobytes() for one in peer]
        assert all(image.tobytes() in known for batch in ours for image in batch["image"])
    else:
        assert len(ours) == len(peer) > 1
        for one, other in zip(ours, peer, strict=True):
            np.testing.assert_array_equal(one.squeeze(), other.squeeze())
    assert timed(name, comparison).ratio == 1
