from __future__ import annotations

from typing import Any

import pytest

from fairrecon_jax.training.config import FREE_FIELDS, TrainConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, got 'linear'"),
        ({"precision": "float16"}, "precision must be one of float32, bfloat16"),
        ({"ema": 1.0}, r"ema must lie in \[0, 1\), got 1.0"),
        ({"warmup_steps": 10}, r"warmup_steps \(10\) must be fewer than steps \(10\)"),
        ({"patience": 2}, "patience needs a selection metric"),
        ({"selection": "psnr", "patience": 1}, "eval_every > 0"),
        ({"selection": "nonsense"}, "selection 'nonsense' needs eval_every > 0"),
    ],
)
def test_refuses_what_makes_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"steps": 10, "batch_size": 2, **change})


def test_evaluation_batch_defaults_to_the_training_batch() -> None:
    assert TrainConfig(steps=1, batch_size=6).eval_size == 6
    assert TrainConfig(steps=1, batch_size=6, eval_batch_size=9).eval_size == 9


def test_free_fields_exist() -> None:
    assert set(FREE_FIELDS) <= set(TrainConfig.__dataclass_fields__)
