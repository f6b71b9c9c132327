"""What a degradation is: the protocol that others type against, and the base of all kinds.

A degradation is a frozen object without a level. What a level means is prepared on the host as
arrays whose shapes do not depend on it (`operator`); what then happens to images is pure and
compiled once for all levels. Noise is a function of the key, the example's digest and the level:
the same image comes out whatever the batch size, order or device. A kind says itself what it is
called, what its levels count, which way is worse and which images it is made for.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_keys
from fairrecon_jax.registry import build, registrar
from fairrecon_jax.types import Array, DegradationSpec, Key, meant

Operator = Mapping[str, Array]
"""What depends on the level, by name; "level_word" [] uint32 is among it where noise is drawn."""

Worse = Literal["higher", "lower"]
Modality = Literal["mri", "xray", "any"]


@runtime_checkable
class Degradation(Protocol):
    """A degradation of square images in [0, 1], hashable and without a level.

    Attributes:
      kind: the name that configurations use.
      title: the name as a reader sees it, as it stands within a sentence.
      unit: what a level counts, as an axis label.
      symbol: what stands behind a level in a short text, e.g. "×" or " photons".
      worse: whether a "higher" or a "lower" level degrades more.
      modality: images it is made for: "mri", "xray" or "any".
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    symbol: ClassVar[str]
    worse: ClassVar[Worse]
    modality: ClassVar[Modality]

    @property
    def size(self) -> int:
        """Image height and width in pixels."""

    def describe(self, levels: Sequence[float], headline_level: float) -> DegradationSpec:
        """The kind's words beside the levels of a study."""

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level, as arrays whose shapes do not; raises ValueError
        where it cannot be had."""

    def operators(self, levels: Sequence[float]) -> dict[str, Array]:
        """The operators of several levels stacked along a new leading axis."""

    def __call__(self, operator: Operator, image: Array, example_id: Array, key: Key) -> jax.Array:
        """Degrades images [B, H, W, 1] at one level."""

    def at_levels(
        self, operators: Operator, image: Array, example_id: Array, key: Key
    ) -> jax.Array:
        """Degrades images [B, H, W, 1] at L levels: [L, B, H, W, 1]."""


@dataclasses.dataclass(frozen=True)
class BaseDegradation(abc.ABC):
    """The base of all kinds: each adds its words, its fields, `operator` and `_degrade`.

    Attributes:
      size: image height and width in pixels, even, at least 4.
    """

    size: int

    kind: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    symbol: ClassVar[str]
    worse: ClassVar[Worse]
    modality: ClassVar[Modality]

    def __post_init__(self) -> None:
        """Checks the size."""
        if self.size < 4 or self.size % 2:
            raise ValueError(
                f"size {self.size} must be an even number of at least 4 pixels: "
                "crop or pad the images"
            )

    @abc.abstractmethod
    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level, as arrays whose shapes do not; made on the host.

        Args:
          level: in the kind's unit.

        Returns:
          Arrays by name, passed to `__call__` as an argument; among them "level_word" where noise
          is drawn.

        Raises:
          ValueError: a level that is not positive or cannot be had.
        """

    @abc.abstractmethod
    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        """Degrades images [B, H, W] at the L levels of `operators`: [L, B, H, W]."""

    def operators(self, levels: Sequence[float]) -> dict[str, Array]:
        """The operators of several levels stacked along a new leading axis, for `at_levels`.

        Args:
          levels: L levels.

        Returns:
          The fields of `operator`, each with a leading axis L.

        Raises:
          ValueError: no level, or one that cannot be had.
        """
        if not levels:
            raise ValueError(f"no level of {self.kind} given")
        every = [self.operator(level) for level in levels]
        # Can be stacked because no shape depends on the level.
        return {name: np.stack([np.asarray(one[name]) for one in every]) for name in every[0]}

    def __call__(self, operator: Operator, image: Array, example_id: Array, key: Key) -> jax.Array:
        """Degrades a batch of images at one level; pure, and differentiable with respect to the
        image.

        Args:
          operator: from `operator(level)`.
          image: [B, H, W, 1] float32 in [0, 1].
          example_id: [B, 2] uint32 digests of the examples' names.
          key: scalar typed key of the study.

        Returns:
          [B, H, W, 1] float32 in [0, 1].

        Raises:
          ValueError: an image or digest of another shape.
        """
        # By way of `at_levels`: with code of its own it could differ from row l in the last digit.
        stacked = {name: jnp.asarray(value)[None] for name, value in operator.items()}
        return self.at_levels(stacked, image, example_id, key)[0]

    def at_levels(
        self, operators: Operator, image: Array, example_id: Array, key: Key
    ) -> jax.Array:
        """Degrades a batch of images at several levels; what does not depend on the level is
        computed once.

        Args:
          operators: from `operators(levels)`.
          image: [B, H, W, 1] float32 in [0, 1].
          example_id: [B, 2] uint32 digests of the examples' names.
          key: scalar typed key of the study.

        Returns:
          [L, B, H, W, 1] float32 in [0, 1]; row l equals the call at level l.

        Raises:
          ValueError: an image or digest of another shape.
        """
        image = jnp.asarray(image)
        if image.ndim != 4 or image.shape[1:] != (self.size, self.size, 1):
            raise ValueError(
                f"image has shape {image.shape}, expected [B, {self.size}, {self.size}, 1]"
            )
        if example_id.shape != (image.shape[0], 2):
            raise ValueError(
                f"example_id has shape {example_id.shape}, expected {(image.shape[0], 2)}"
            )
        arrays = {name: jnp.asarray(value) for name, value in operators.items()}
        # Kinds work on [B, H, W] and [L, B, H, W]: none has a use for the channel.
        return self._degrade(arrays, image[..., 0], example_id, key)[..., None]

    def describe(self, levels: Sequence[float], headline_level: float) -> DegradationSpec:
        """The kind's words beside the levels of a study.

        Args:
          levels: of the study.
          headline_level: the level at which group gaps are the headline.
        """
        return describe(self.kind, levels, headline_level)

    def positive(self, level: float) -> float:
        """The level, if it is a positive number.

        Raises:
          ValueError: it is not.
        """
        if not np.isfinite(level) or level <= 0:
            raise ValueError(f"level {level} of {self.kind} must be a positive number")
        return float(level)


def level_word(level: float) -> np.ndarray:
    """The bits of a level as float32, which set the noise of one level apart from that of another.

    Args:
      level: a number.

    Returns:
      uint32 scalar.
    """
    # Bits, not int(level): fractional levels stay apart, and 8 and 8.0 stay the same.
    return np.asarray(level, np.float32).view(np.uint32)


def noise_keys(words: Array, example_id: Array, key: Key) -> Key:
    """One key per level and example, a function of key, level and digest only.

    Args:
      words: [L] uint32 from `level_word`.
      example_id: [B, 2] uint32 digests of the examples' names.
      key: scalar typed key of the study.

    Returns:
      [L, B] typed keys.
    """
    # No index of level or row enters: more levels or another batch leave the others' noise alone.
    return jax.vmap(lambda word: example_keys(jax.random.fold_in(key, word), example_id))(
        jnp.asarray(words)
    )


DEGRADATIONS: dict[str, type[BaseDegradation]] = {}
"""Degradation dataclasses by kind."""

register = registrar(DEGRADATIONS, "degradation")
"""Class decorator that enters a degradation into `DEGRADATIONS`."""


def make_degradation(kind: str, **fields: Any) -> Degradation:
    """Builds a degradation from plain fields.

    Args:
      kind: a name in `DEGRADATIONS`.
      **fields: values of the kind's dataclass fields; lists become tuples.

    Raises:
      ValueError: the kind or a field is unknown, or a value is out of range; the message lists the
        valid ones.
      TypeError: a value does not fit its field.

    Example:
      >>> make_degradation("mri_radial", size=64).unit
      'acceleration factor'
    """
    return build(DEGRADATIONS, kind, "degradation", fields)


def describe(kind: str, levels: Sequence[float], headline_level: float) -> DegradationSpec:
    """The words of a kind beside the levels of a study, for tables and reports.

    Args:
      kind: a name in `DEGRADATIONS`.
      levels: of the study.
      headline_level: the level at which group gaps are the headline.

    Raises:
      ValueError: there is no such kind; the message lists those there are.

    Example:
      >>> spec = describe("xray_low_dose", [1e4, 1e5], 1e4)
      >>> spec.unit, spec.worse
      ('photon count', 'lower')
    """
    if kind not in DEGRADATIONS:
        raise ValueError(
            f"unknown degradation {kind!r}; choose one of {', '.join(sorted(DEGRADATIONS))}"
            f"{meant(kind, DEGRADATIONS)}"
        )
    words = DEGRADATIONS[kind]
    return DegradationSpec(
        kind,
        tuple(map(float, levels)),
        float(headline_level),
        title=words.title,
        unit=words.unit,
        symbol=words.symbol,
        worse=words.worse,
        modality=words.modality,
    )
