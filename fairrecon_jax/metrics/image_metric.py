"""The registry of image metrics: what the tandem step computes, and how tables, figures and outside
tables name it.

A new image metric is one file: a function of originals and images, decorated with `register`, and
imported in this package's `__init__`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from fairrecon_jax.types import Array, meant

Compare = Callable[[Array, Array], Array]
CompareBy = Callable[[Array, Array, Mapping[str, Any]], Array]
_Function = TypeVar("_Function", bound=Callable[..., Array])


@dataclasses.dataclass(frozen=True)
class ImageMetric:
    """How close a reconstruction is to the original, in one number per image.

    Attributes:
      name: column in tables of predictions.
      title: the name as a reader sees it, with its unit.
      better: whether a "higher" or a "lower" value is closer.
      digits: decimals in tables.
      compute: of originals and reconstructions [B, H, W, 1] in [0, 1] the values [B]; None where
        the values can only come with a table, or need weights.
      compute_by: of originals, reconstructions and weights the values [B]; None where it needs no
        weights.
      least: smallest height and width in pixels.
      per_group: whether the report draws it for each group of patients.

    Example:
      >>> metric = ImageMetric("psnr", "PSNR (dB)", "higher", digits=2)
      >>> metric.title, metric.arrow
      ('PSNR (dB)', '↑')
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    digits: int
    compute: Compare | None = None
    least: int = 1
    per_group: bool = True
    compute_by: CompareBy | None = None

    @property
    def arrow(self) -> str:
        """The direction of a better value as a sign."""
        return "↑" if self.better == "higher" else "↓"


IMAGE_METRICS: dict[str, ImageMetric] = {}
"""Image metrics by name, in the order of tables and figures."""

DEFAULT = ("psnr", "ssim", "nrmse")
"""What the tandem step computes unless told otherwise."""


def register(
    title: str,
    better: Literal["higher", "lower"],
    digits: int,
    least: int = 1,
    per_group: bool = True,
    weighted: bool = False,
) -> Callable[[_Function], _Function]:
    """Function decorator that enters a metric into `IMAGE_METRICS` under its own name.

    Args:
      title: see `ImageMetric`.
      better: see `ImageMetric`.
      digits: see `ImageMetric`.
      least: see `ImageMetric`.
      per_group: see `ImageMetric`.
      weighted: the function takes weights as its third argument; the metric exists in a study that
        has them.

    Raises:
      ValueError: the name is taken.
    """

    def enter(compute: _Function) -> _Function:
        name = compute.__name__
        if name in IMAGE_METRICS:
            raise ValueError(f"image metric {name!r} is already registered")
        # weighted, no `compute`: without weights the metric only comes with a table
        plain, by_weights = (None, compute) if weighted else (compute, None)
        IMAGE_METRICS[name] = ImageMetric(
            name, title, better, digits, plain, least, per_group, by_weights
        )
        return compute

    return enter


def check_computable(names: tuple[str, ...], size: int | None = None) -> None:
    """Refuses names of metrics that the tandem step cannot compute.

    Args:
      names: of metrics, each once.
      size: of the images in pixels, where it is known.

    Raises:
      ValueError: the message lists those that it can.
    """
    known = [name for name, metric in IMAGE_METRICS.items() if metric.compute is not None]
    for name in names:
        if name in IMAGE_METRICS and IMAGE_METRICS[name].compute_by is not None:
            raise ValueError(f"image metric {name!r} has weights: give them under {name} instead")
    if wrong := [name for name in names if name not in known]:
        raise ValueError(
            f"no image metric {wrong[0]!r}; choose among {', '.join(known)}{meant(wrong[0], known)}"
        )
    # Each name is a column of the table.
    if len(set(names)) < len(names):
        raise ValueError(f"image_metrics must differ from one another, got {names}")
    for name in names:
        if size is not None and size < (least := IMAGE_METRICS[name].least):
            raise ValueError(
                f"image metric {name!r} needs images of at least {least} pixels, got {size}"
            )
