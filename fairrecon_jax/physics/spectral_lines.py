"""The lines through the spectrum that make up a Radon transform or a back-projection with
interpolation, strongest first.

Spectrum of a projection. The gather form samples the bilinear image g at the places l = 0, +-1, ...
along a ray, c = cos(a), s = sin(a): p(r) = sum over l of g(c r + s l, -s r + c l). By Poisson's
summation the spectrum of p is a sum over integers n of the spectrum of g on the lines (kx, ky) = k
(c, -s) + n (s, c); that of g is the image's periodic spectrum F times sinc^2(kx) sinc^2(ky). Solved
for kx: k = (kx - n s) / c, ky = n / c - kx tan(a).

Spectrum of a back-projection. Linear interpolation of the filtered projections is their periodic
spectrum Q times sinc^2(k), on the line n = 0 alone, k unbounded.

F and the pixels have the period 1 in kx, and the conjugate of every term belongs to (-kx, -n): all
terms are those of 0 <= kx <= 1/2, with an integer, the lap, added to kx. The terms fall off as one
over their distance squared. Which (lap, n) are strong changes with kx and with the angle: for each
block of kx and each angle the strongest are taken, as many for all, so that they fill a rectangular
table.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fairrecon_jax.physics.geometry import ParallelBeam

Spectrum = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""A magnitude [...] as a function of kx, ky and k."""


class Lines(NamedTuple):
    """L terms at A = eighth + 1 angles and J = M / 2 + 1 frequencies, float64 [A, L, J] in cycles
    per pixel.
    """

    kx: np.ndarray
    ky: np.ndarray
    k: np.ndarray
    weight: np.ndarray  # blur / cos(a)
    block: int  # frequencies with the same (lap, n)


@functools.lru_cache(maxsize=8)
def of_image(beam: ParallelBeam, count: int, period: int) -> Lines:
    """Terms of the projections of an image: blur sinc^2(kx) sinc^2(ky), of the spectrum of edges,
    |F| ~ 1 / |(kx, ky)|^(3/2).

    Args:
      beam: the geometry.
      count: L, terms per angle and frequency, at least 1.
      period: M, even: frequencies are 0, 1 / M, ..., 1 / 2.

    Returns:
      The terms.

    Raises:
      ValueError: no term.
    """

    def blur(kx: np.ndarray, ky: np.ndarray, k: np.ndarray) -> np.ndarray:
        return (np.sinc(kx) * np.sinc(ky)) ** 2

    def expected(kx: np.ndarray, ky: np.ndarray, k: np.ndarray) -> np.ndarray:
        # Bounded at the lowest frequency of the image, where the law would diverge.
        return np.maximum(np.hypot(_folded(kx), _folded(ky)), 1 / beam.size) ** -1.5

    lap, n = np.meshgrid(_reach(count), _reach(count), indexing="ij")
    return _strongest(beam, count, period, (lap.ravel(), n.ravel()), blur, expected)


@functools.lru_cache(maxsize=8)
def of_projections(beam: ParallelBeam, count: int, period: int) -> Lines:
    """Terms of the back-projection: blur sinc^2(k), of a spectrum like the Hann window (edges fall
    off as the ramp rises), n = 0.

    Args:
      beam: the geometry.
      count: L, terms per angle and frequency, at least 1.
      period: M, even: frequencies are 0, 1 / M, ..., 1 / 2.

    Returns:
      The terms.

    Raises:
      ValueError: no term.
    """

    def blur(kx: np.ndarray, ky: np.ndarray, k: np.ndarray) -> np.ndarray:
        return np.sinc(k) ** 2

    def expected(kx: np.ndarray, ky: np.ndarray, k: np.ndarray) -> np.ndarray:
        return np.cos(np.pi * k) ** 2

    lap = _reach(count)
    return _strongest(beam, count, period, (lap, np.zeros_like(lap)), blur, expected)


def _reach(count: int) -> np.ndarray:
    """Integers that may be among the strongest."""
    return np.arange(-2 - count // 2, 3 + count // 2)


def _folded(frequency: np.ndarray) -> np.ndarray:
    """Distance to the nearest integer."""
    return np.abs(frequency - np.round(frequency))


def _strongest(
    beam: ParallelBeam,
    count: int,
    period: int,
    candidates: tuple[np.ndarray, np.ndarray],
    blur: Spectrum,
    expected: Spectrum,
) -> Lines:
    """The terms of largest blur times expected spectrum in the middle of each block, out of
    candidates (lap, n), two of [K].

    At 0 degrees rays hit pixel centres: nothing is interpolated, and only the plain term remains.
    """
    if count < 1:
        raise ValueError(f"{count} lines per angle: at least 1 is needed")
    lap, n = candidates
    frequencies = period // 2 + 1
    block = math.ceil(math.sqrt(frequencies))
    start = np.arange(0, frequencies, block)
    # Below 1 / 2, where two terms tie.
    middle = np.minimum(start + (block - 1) / 2, frequencies - 1.5)
    points = _on_lines(beam, middle / period + lap[:, None], n[:, None])
    # Stable, so that equal strengths are chosen alike on every platform.
    order = np.argsort(-blur(*points) * expected(*points), axis=1, kind="stable")[:, :count]
    # [A, L, blocks] -> [A, L, J], one choice per block.
    lap, n = (np.repeat(part[order], block, axis=2)[:, :, :frequencies] for part in candidates)
    points = _on_lines(beam, np.arange(frequencies) / period + lap, n)
    weight = blur(*points) / np.cos(beam.first_eighth)[:, None, None]
    # 0 degrees: the sinc of the plain term would blur what is not interpolated.
    weight[0] = (lap[0] == 0) & (n[0] == 0)
    return Lines(*points, weight, block)


def _on_lines(
    beam: ParallelBeam, kx: np.ndarray, n: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """kx, ky and k [A, K, J] of kx and n, [K, J] or [A, K, J]."""
    c, s = (part[:, None, None] for part in (np.cos(beam.first_eighth), np.sin(beam.first_eighth)))
    k, ky = (kx - n * s) / c, (n - kx * s) / c
    return np.broadcast_to(kx, k.shape), ky, k
