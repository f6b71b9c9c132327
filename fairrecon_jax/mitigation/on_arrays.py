"""Mitigation of a reconstructor on a cohort in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fairrecon_jax.mitigation.interface import FrozenDiagnoser, Mitigation, MitigationContext
from fairrecon_jax.training.on_arrays import Cohort, Physics, fit
from fairrecon_jax.types import CohortSpec, InputError, Variables


class Trained(Protocol):
    """A network with its weights, see `tandem.models.trained`."""

    model: Any
    weights: Variables


def mitigate(
    reconstructor: Trained,
    cohort: Cohort,
    physics: Physics,
    method: Mitigation,
    diagnosers: Sequence[Trained] = (),
    *,
    steps: int,
    workdir: str | Path | None = None,
    **choices: Any,
) -> Variables:
    """Fine-tunes a trained reconstructor so that groups are treated alike.

    Args:
      reconstructor: `fr.trained(unet, weights)`; it stays as it is.
      cohort: with the groups in question, and the labels or masks of the diagnosers' tasks.
      physics: the degradation.
      method: e.g. `fr.make_mitigation("equalised_odds", weight=0.1)`.
      diagnosers: frozen networks through which a term of the loss looks; none for reweighting.
      steps: optimiser steps.
      workdir: see `fr.fit`.
      **choices: see `fr.fit`.

    Returns:
      The new variables, for `fr.trained`.

    Raises:
      InputError: the cohort has no groups, a method needs diagnosers that are not given, or as
        `fr.fit`.

    Example:
      >>> x, sex = np.full((8, 8, 8, 1), 0.5, np.float32), ["f", "f", "m", "m"] * 2
      >>> cohort, noise = fr.arrays(x, groups={"sex": sex}), fr.GaussianNoise(sd=0.1)
      >>> unet, method = fr.UNetReconstructor(width=2, depth=1), fr.make_mitigation("reweighting")
      >>> plain = fr.trained(unet, unet.init(jax.random.key(0), {"image": x}))  # or after `fr.fit`
      >>> sorted(mitigate(plain, cohort, noise, method, steps=1, batch_size=4, validation=0))
      ['batch_stats', 'params']
    """
    if not hasattr(getattr(reconstructor, "model", None), "reconstruct"):
        raise InputError(
            "a mitigation fine-tunes a trained reconstructor, fr.trained(network, weights); got "
            f"{reconstructor!r}"
        )
    if not isinstance(method, Mitigation):
        raise InputError(f"method is a mitigation, fr.make_mitigation(...); got {method!r}")
    if not cohort.spec.attributes:
        raise InputError("the cohort has no groups: give fr.arrays(..., groups={...})")
    frozen = []
    # a dictionary of functions would be looked through by its names
    for one in diagnosers.values() if isinstance(diagnosers, Mapping) else diagnosers:
        if not (hasattr(one, "model") and hasattr(one, "weights")):
            raise InputError(
                f"a mitigation takes gradients through its diagnosers: give fr.trained(network, "
                f"weights), not a {type(one).__name__}"
            )
        frozen.append(FrozenDiagnoser(one.model, one.weights))
    context = MitigationContext(cohort.spec, tuple(frozen))
    present = outcomes(cohort.table, cohort.spec)

    def sampling(rows: np.ndarray) -> np.ndarray | None:
        drawn = method.sampling(context, cohort.attributes()[rows], present[rows])
        return None if drawn is None else drawn.weights

    return fit(
        reconstructor.model,
        cohort,
        physics,
        steps=steps,
        workdir=workdir,
        initial=reconstructor.weights,
        objective=method.objective(context),
        sampling=sampling,
        **choices,
    )


def outcomes(table: Any, spec: CohortSpec) -> np.ndarray:
    """[N, T] in {0, 1, NaN} per task of the specification: the label, or whether the mask holds the
    region.

    Args:
      table: a cohort's table.
      spec: its specification.
    """
    columns = [
        table[task.name].to_numpy(float)
        if task.kind == "classification"
        else (table[task.name] > 0).to_numpy(float)
        for task in spec.tasks
    ]
    return np.stack(columns, 1) if columns else np.zeros((len(table), 0))
