from __future__ import annotations

from typing import Any

import pytest

from fairrecon_jax.keys import identity
from fairrecon_jax.training.config import TrainConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, half_linear, got"),
        ({"schedule_every": -1}, "schedule_every must be at least 0, got -1"),
        ({"precision": "float16"}, "precision must be one of float32, bfloat16"),
        ({"ema": 1.0}, r"ema must lie in \[0, 1\), got 1.0"),
        ({"b2": 1.0}, r"b2 must lie in \[0, 1\), got 1.0"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, amsgrad, adamw, got 'sgd'"),
        ({"warmup_steps": 10}, r"warmup_steps \(10\) must be fewer than steps \(10\)"),
        ({"patience": 2, "selection": ""}, "patience needs a selection metric"),
        ({"selection": "psnr", "eval_every": 0}, "selection 'psnr' needs eval_every > 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite, got nan"),
    ],
)
def test_refuses_what_makes_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"steps": 10, "batch_size": 2, **change})


def test_evaluation_batch_defaults_to_the_training_batch() -> None:
    assert TrainConfig(steps=1, batch_size=6, eval_batch_size=0).eval_size == 6
    assert TrainConfig(steps=1, batch_size=6, eval_batch_size=9).eval_size == 9


@pytest.mark.parametrize(
    ("steps", "evaluations", "checkpoints"), [(1, 1, 1), (7, 1, 1), (800, 100, 200), (100, 12, 25)]
)
def test_intervals_follow_the_steps(steps: int, evaluations: int, checkpoints: int) -> None:
    config = TrainConfig(steps=steps, batch_size=2)
    assert (config.eval_steps, config.checkpoint_steps) == (evaluations, checkpoints)


def test_intervals_that_are_given_stay() -> None:
    config = TrainConfig(steps=800, batch_size=2, eval_every=3, checkpoint_every=5)
    assert (config.eval_steps, config.checkpoint_steps) == (3, 5)
    assert TrainConfig(steps=800, batch_size=2, eval_every=0).eval_steps == 0


def test_the_first_metric_of_the_model_selects_unless_told_otherwise() -> None:
    metrics = {"psnr": "max", "mse": "min"}
    plain = TrainConfig(steps=80, batch_size=2).resolve(metrics)
    assert (plain.selection, plain.selection_mode, plain.eval_every) == ("psnr", "max", 10)
    other = TrainConfig(steps=80, batch_size=2, selection="mse").resolve(metrics)
    assert (other.selection, other.selection_mode) == ("mse", "min")
    last = TrainConfig(steps=80, batch_size=2, selection="").resolve(metrics)
    assert last.selection == ""
    assert TrainConfig(steps=80, batch_size=2, eval_every=0).resolve(metrics).selection == ""
    for name, way, better in (("psnr", "min", "larger"), ("mse", "max", "smaller")):
        wrong = TrainConfig(steps=8, batch_size=2, selection=name, selection_mode=way)
        with pytest.raises(
            ValueError, match=f"would keep the worst .*: {name} is better the {better}"
        ):
            wrong.resolve(metrics)
    with pytest.raises(ValueError, match="selection 'dice' is none of psnr, mse"):
        TrainConfig(steps=80, batch_size=2, selection="dice").resolve(metrics)


def test_what_changes_no_number_is_no_part_of_the_identity() -> None:
    plain = TrainConfig(steps=8, batch_size=2)
    free = TrainConfig(
        steps=8,
        batch_size=2,
        eval_batch_size=4,
        workers=3,
        checkpoint_every=1,
        keep=9,
        log_every=1,
        tensorboard=True,
        wandb=True,
    )
    assert identity(plain) == identity(free)
    changes = ({"steps": 9}, {"seed": 1}, {"eval_every": 2}, {"ema": 0.5}, {"schedule_every": 1})
    for change in changes:
        assert identity(TrainConfig(**{"steps": 8, "batch_size": 2, **change})) != identity(plain)
