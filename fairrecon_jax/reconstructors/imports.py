"""PyTorch weights of a reconstructor's networks become its variables, so that it reconstructs
without a training run.

A further kind of reconstructor takes one line in `CONVERTERS`: its name in the registry, and a
function `(reconstructor, state) -> {network: {"params": tree, "batch_stats": tree}}` that gives the
networks it finds in the state dict, mostly by `models.conversion.convert`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from fairrecon_jax.models.checkpoint import State, read_files
from fairrecon_jax.models.conversion import convert
from fairrecon_jax.reconstructors import irsde, pix2pix, unet
from fairrecon_jax.reconstructors.interface import RECONSTRUCTORS, Reconstructor
from fairrecon_jax.runtime.choices import check_like
from fairrecon_jax.types import InputError, Variables

Converter = Callable[[Any, State], dict[str, Variables]]


def _mse(reconstructor: unet.UNetReconstructor, state: State) -> dict[str, Variables]:
    return {unet.NETWORK: convert(reconstructor.network, state)}


def _pix2pix(reconstructor: pix2pix.Pix2PixReconstructor, state: State) -> dict[str, Variables]:
    """The generator, and the discriminator if the files hold one: told by the prefixes that
    `read_state` gives them, or by the generator's "model.model.", which is nested once more.
    """
    parts: dict[str, dict[str, Any]] = {pix2pix.GENERATOR: {}, pix2pix.DISCRIMINATOR: {}}
    for key, value in state.items():
        role, _, rest = key.partition(".")
        if role in parts:
            parts[role][rest] = value
        else:
            nested = re.search(r"(^|\.)model\.model\.", key)
            parts[pix2pix.GENERATOR if nested else pix2pix.DISCRIMINATOR][key] = value
    made = {pix2pix.GENERATOR: convert(reconstructor.generator, parts[pix2pix.GENERATOR])}
    if parts[pix2pix.DISCRIMINATOR]:
        discriminator = convert(reconstructor.discriminator, parts[pix2pix.DISCRIMINATOR], 2)
        made[pix2pix.DISCRIMINATOR] = discriminator
    return made


def _irsde(reconstructor: irsde.IrsdeReconstructor, state: State) -> dict[str, Variables]:
    """The conditional U-Net, in the published layout (patch 1)."""
    return {irsde.NETWORK: convert(reconstructor.network, state)}


CONVERTERS: dict[str, Converter] = {"irsde": _irsde, "mse": _mse, "pix2pix": _pix2pix}
"""By kind of reconstructor: its networks' variables by name from a PyTorch state dict; InputError
names the keys that do not fit.
"""


def import_variables(
    reconstructor: Reconstructor, paths: Sequence[str | Path], size: int
) -> tuple[Variables, dict[str, Any]]:
    """Variables of a reconstructor from files of PyTorch weights.

    A network that the files do not hold, and that `reconstruct` therefore must not need (the
    discriminator of a GAN), starts from fresh values of the key 0, as it would for a training.

    Args:
      reconstructor: of a kind in `CONVERTERS`.
      paths: files for `read_state`, read as one state dict.
      size: pixels along the side of the images.

    Returns:
      (variables, facts as JSON: "files" with the SHA-256 of each by name, "drawn" with the names of
        the networks that no file holds).

    Raises:
      InputError: no weights can be imported for the kind, two files hold the same key, the weights
        do not fit (keys are named), or a file needs PyTorch, which is not installed.
      FileNotFoundError: a file is missing.
    """
    # The exact class: a subclass may have other networks.
    kind = next((kind for kind, cls in RECONSTRUCTORS.items() if type(reconstructor) is cls), "")
    if kind not in CONVERTERS:
        raise InputError(
            f"weights cannot be imported for {reconstructor.name!r} of kind {kind!r}: "
            f"only for {', '.join(CONVERTERS)}"
        )
    if hasattr(reconstructor, "check"):
        # Before any file is read: a wrong size must not cost the reading of gigabytes.
        reconstructor.check(size)
    state, digests = read_files(paths)
    try:
        networks = CONVERTERS[kind](reconstructor, state)
    except InputError as error:
        raise InputError(f"{', '.join(map(str, paths))}: {error}") from error
    variables, drawn = _complete(reconstructor, networks, size)
    return variables, {"files": digests, "drawn": drawn}


def _complete(
    reconstructor: Reconstructor, networks: Mapping[str, Variables], size: int
) -> tuple[Variables, list[str]]:
    """Variables of all networks, and the names of those that had to be drawn."""
    image = jnp.zeros((1, size, size, 1))
    batch = {"image": image, "degraded": image}
    # Shapes alone: values are drawn only for networks that no file holds.
    expected = jax.eval_shape(reconstructor.init, jax.random.key(0), batch)
    drawn = sorted(set(expected["params"]) - set(networks))
    variables = (
        jax.jit(reconstructor.init)(jax.random.key(0), batch)
        if drawn
        else {"params": {}, "batch_stats": {}}
    )
    for collection, trees in variables.items():
        for network, imported in networks.items():
            if network in expected[collection]:
                trees[network] = imported[collection]
    check_like(variables, expected)
    return variables, drawn
