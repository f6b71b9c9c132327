"""Sizes and counts beyond which a configuration is a slip of the pen: they would fill the memory or
run for years before anybody saw it.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from fairrecon_jax.assessment.options import MOST
from fairrecon_jax.phantoms.checks import MOST as DRAWN
from fairrecon_jax.types import ConfigError

LARGEST: Mapping[str, float] = {
    # trainings
    "steps": 10**8,
    "schedule_every": 10**8,
    "warmup_steps": 10**8,
    "warmup": 10**8,
    "eval_every": 10**8,
    "eval_batches": 10**8,
    "checkpoint_every": 10**8,
    "log_every": 10**8,
    "patience": 10**6,
    "keep": 1000,
    "batch_size": 65_536,
    "eval_batch_size": 65_536,
    "learning_rate": 10,
    "weight_decay": 10,
    "clip_norm": 1e6,
    # networks
    "width": 4096,
    "disc_width": 4096,
    "hidden": 65_536,
    "classes": 65_536,
    "depth": 1000,  # a ResNet's; of a U-Net the size of the images allows fewer
    "downsamplings": 16,
    "disc_layers": 16,
    "channels": 16,
    "input_size": 4096,
    "input_low": 1e6,
    "input_high": 1e6,
    "mean": 1e6,
    "sd": 1e6,
    "T": 10_000,
    "samples": 1000,
    "chunk": 65_536,
    "lam": 1000,
    "time_power": 100,
    "rho": 100,
    "precondition": 1e6,
    # losses
    "lambda_l1": 1e6,
    "positive_weight": 1e6,
    "smooth": 1e6,
    "shift": 1,
    "gain": 1,
    # mitigations
    "weight": 1e6,
    "weights": 1e6,
    "reconstruction": 1e6,
    "task": 1e6,
    "task_weight": 1e6,
    "step": 1e6,
    "cap": 1e6,
    "min_count": 1e6,
    "sharpness": 1e6,
    "temperature": 1e6,
    "psnr_tolerance": 100,
    "task_tolerance": 1,
    # images and physics
    "image_size": 4096,
    "angles": 16_384,
    "power": 100,
    "peak_attenuation": 100,
    # single-precision numbers hold more, the physics between them means nothing
    "levels": 1e12,
    "headline_level": 1e12,
    **MOST,
    # what is drawn and shown
    **DRAWN,
    "examples": 1000,
    "max_examples": 1000,
}
"""By the name of a field, wherever it stands: the largest number it takes. The smallest is checked
where the field is built.
"""
SMALLEST: Mapping[str, float] = {
    "levels": 1e-6,
    "headline_level": 1e-6,
    "alpha": 1e-6,
    "learning_rate": 1e-12,
    "weight_decay": 1e-12,
    "clip_norm": 1e-6,
    "b1": 1e-6,
    "ema": 1e-6,
    "decay": 1e-6,
    "dropout": 1e-6,
    "shift": 1e-6,
    "rotate": 1e-6,
    "zoom": 1e-6,
    "border": 1e-6,
    "b2": 1e-6,
    "gain": 1e-6,
    "lam": 1e-6,
    "eps": 1e-12,
    "time_power": 1e-6,
    "rho": 1e-6,
    "lambda_l1": 1e-6,
    "dice_weight": 1e-6,
    "smooth": 1e-12,
    "input_low": 1e-6,
    "input_high": 1e-6,
    "sd": 1e-6,
    "weight": 1e-9,
    "weights": 1e-9,
    "label_weights": 1e-6,
    "reconstruction": 1e-9,
    "task": 1e-9,
    "task_weight": 1e-9,
    "step": 1e-9,
    "min_count": 1e-6,
    "sharpness": 1e-6,
    "temperature": 1e-6,
    "threshold_rate": 1e-9,
    "fraction": 1e-6,
    "fractions": 1e-6,
    "diagnosis_fraction": 1e-6,
    "psnr_tolerance": 1e-9,
    "task_tolerance": 1e-9,
    "power": 1e-6,
    "peak_attenuation": 1e-3,
    "centre_fraction": 1e-6,
    "label_noise": 1e-6,
    "missing_demographics": 1e-6,
    "uncertain_rate": 1e-6,
    "blank_rate": 1e-6,
    "lateral_share": 1e-6,
    "glioblastoma_share": 1e-6,
    "follow_up_share": 1e-6,
    "age_cut": 0.1,
    "age_mean": 1,
    "age_sd": 1e-3,
    "contrast_mean": 1e-3,
    "contrast_spread": 1e-6,
    "lesion_contrast": 1e-3,
}
"""Above 0 and below this is a slip as well."""
LONGEST = 4096
"""Characters of a text, and entries of a list."""
DEEPEST = 20
"""Blocks within blocks that are looked into."""
FIXED = ("bn_axis",)
"""Fields of models that a study sets itself."""


def check_sizes(blocks: Mapping[str, Any]) -> None:
    """Refuses numbers, texts and lists beyond all sense, before anything is made of them.

    Args:
      blocks: the configuration as dictionaries; fields of other kinds have checks of their own.

    Raises:
      ConfigError: the message names each such field and its bound.

    Example:
      >>> check_sizes({"assess": {"permutations": 10**9}})
      Traceback (most recent call last):
      fairrecon_jax.types.ConfigError: config.assess.permutations must be at most 1e+06, got ...
    """
    if refused := beyond(blocks):
        raise ConfigError(*refused.values())


def beyond(blocks: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    """What `check_sizes` refuses: by the place of a field, the message."""
    found = {}
    for path, value in _leaves(blocks, ()):
        # the innermost name that has a range: numbers by task or group have that of their field
        name = next((part for part in reversed(path) if part in LARGEST or part in SMALLEST), "")
        if words := _beyond(value, path[-1] if path[-1] in FIXED else name):
            found[path] = f"config.{'.'.join(path)} {words}"
    return found


def _beyond(value: Any, name: str) -> str:
    """What is wrong with the value of a field of that name, "" for nothing."""
    if name in FIXED:
        return "is set by the study: leave it out"
    if isinstance(value, str | list | tuple) and len(value) > LONGEST:
        what = "characters" if isinstance(value, str) else "entries"
        return f"has {len(value)} {what}; at most {LONGEST} are taken"
    for one in _numbers(value):
        # NaN and infinity are told of where the field is built
        if math.isfinite(one) and one > LARGEST.get(name, math.inf):
            return f"must be at most {LARGEST[name]:g}, got {value!r}"
        if 0 < one < SMALLEST.get(name, 0):
            return f"must be at least {SMALLEST[name]:g}, got {value!r}"
    return ""


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no block, with its place."""
    if isinstance(value, Mapping) and len(path) < DEEPEST:
        for name, part in value.items():
            yield from _leaves(part, (*path, str(name)))
    elif path:
        yield path, value


def _numbers(value: Any) -> Iterator[float]:
    """The numbers of a field that holds one, or several."""
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, numbers.Real) and not isinstance(one, bool):
            try:
                yield float(one)
            # a whole number of hundreds of digits
            except OverflowError:
                yield sys.float_info.max if one == abs(one) else -sys.float_info.max
