"""Objectives inside the training loop: with a generative reconstructor, from given weights, over
devices, after an interruption.
"""

from __future__ import annotations

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest

from fairrecon_jax.mitigation import (
    MITIGATIONS,
    Adversarial,
    EqualisedOdds,
    GroupDro,
    Mitigation,
    make_mitigation,
)
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.metrics_writer import read_metrics
from tests.support.mitigation_fakes import Ghost, Rows, context, dim

CONFIG = TrainConfig(
    steps=8,
    batch_size=8,
    learning_rate=0.01,
    schedule="constant",
    eval_every=0,
    eval_batch_size=0,
    checkpoint_every=1,
    keep=2,
    log_every=1,
)


def run(workdir, options, cohort=None, devices=1, config=CONFIG):
    cohort = cohort or Rows()
    objective = None if options is None else options.objective(context("bright", "outline"))
    start = Ghost().init(jax.random.key(0), None)
    return fit(
        Ghost(),
        (cohort, np.arange(24)),
        None,
        config,
        workdir,
        prepare=dim,
        objective=objective,
        initial=start,
        devices=devices,
    )


def test_the_registry_builds_every_kind():
    assert set(MITIGATIONS) == {"reweighting", "equalised_odds", "adversarial", "group_dro"}
    for kind in MITIGATIONS:
        built = make_mitigation(kind, attributes=["sex"])
        assert isinstance(built, Mitigation)
        assert hash(built)


SHORT = dataclasses.replace(CONFIG, steps=3)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What a short training without an objective returns."""
    return run(tmp_path_factory.mktemp("plain"), None, config=SHORT)


OPTIONS = [EqualisedOdds(), GroupDro(), Adversarial(tasks=("oedema",))]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: type(o).__name__)
def test_a_generative_reconstructor_is_moved_and_devices_agree(tmp_path, plain, options):
    one, four = (run(tmp_path / str(d), options, None, d, SHORT) for d in (1, 4))
    net = [v["params"]["net"] for v in (plain, one, four)]
    assert abs(net[0]["shift"] - net[1]["shift"]) + abs(net[0]["scale"] - net[1]["scale"]) > 1e-4
    np.testing.assert_allclose(net[1]["scale"], net[2]["scale"], rtol=1e-4)
    np.testing.assert_array_equal(
        plain["params"]["critic"]["level"], one["params"]["critic"]["level"]
    )
    assert {"net/objective", "net/loss_without_objective"} <= set(
        read_metrics(tmp_path / "1" / "metrics.jsonl")[-1]
    )


def test_an_interrupted_run_ends_as_if_nothing_had_happened(tmp_path):
    options = EqualisedOdds(track_threshold=True)
    straight = run(tmp_path / "straight", options)

    class Ending(Rows):
        def example(self, i: int):
            reads.append(i)
            if len(reads) == 12:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().example(i)

    reads: list[int] = []
    with pytest.raises(SystemExit):
        run(tmp_path / "again", options, Ending())
    assert not (tmp_path / "again" / "final").exists()
    again = run(tmp_path / "again", options)
    jax.tree.map(np.testing.assert_array_equal, straight, again)
    lines = [
        [
            {k: v for k, v in line.items() if k != "steps_per_second"}
            for line in read_metrics(tmp_path / f / "metrics.jsonl")
        ]
        for f in ("straight", "again")
    ]
    assert lines[0] == lines[1]


def test_another_weight_is_another_run(tmp_path):
    config = dataclasses.replace(CONFIG, steps=1)
    run(tmp_path, GroupDro(weight=1.0), config=config)
    with pytest.raises(ValueError, match=r"objective\.options\.weight was 1, now 2"):
        run(tmp_path, GroupDro(weight=2.0), config=config)
