"""What a caller gives the report besides the tables: its options and the example panels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from fairrecon_jax.metrics.conventions import ALIASES, CONVENTIONS, canonical


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Choices of the report; none of them changes a number.

    Attributes:
      title: heading of the page; made from the cohort's title if empty.
      identifiers: print example and patient names (off: captions and tables carry none).
      convention: the convention of the assessment that headlines and figures show
        (`metrics.CONVENTIONS`); where it was not computed, another one is shown.
      dpi: resolution of the embedded figures.
      pdf: write each figure as PDF too, for print.
      max_examples: at most this many example panels are drawn.
      appendix: write a second page, appendix.html, with every figure and table.
      min_cell: numbers that rest on fewer patients or images are withheld; 0 shows all.

    Example:
      >>> ReportOptions(title="Scanner B after the update", convention="paper").convention
      'worst_case'
    """

    title: str = ""
    identifiers: bool = False
    convention: str = "worst_case_estimable"
    dpi: int = 150
    pdf: bool = True
    max_examples: int = 4
    appendix: bool = False
    min_cell: int = 10

    def __post_init__(self) -> None:
        """Checks the fields; an earlier name of a convention becomes today's.

        Raises:
          ValueError: a field is out of range; the message names it.
        """
        if not 50 <= self.dpi <= 600:
            raise ValueError(f"dpi must lie in 50..600, got {self.dpi}")
        if self.max_examples < 0:
            raise ValueError(f"max_examples must not be negative, got {self.max_examples}")
        if not 0 <= self.min_cell <= 1000:
            raise ValueError(f"min_cell must lie in 0..1000, got {self.min_cell}")
        # a character that no file holds would end the study at its last stage
        if not self.title.isprintable():
            raise ValueError(f"title must be one line that can be printed, got {self.title!r}")
        if self.convention not in (*CONVENTIONS, *ALIASES):
            raise ValueError(f"convention must be one of {CONVENTIONS}, got {self.convention!r}")
        object.__setattr__(self, "convention", canonical(self.convention))


@dataclasses.dataclass(frozen=True)
class ExamplePanel:
    """One example as original, degraded and reconstructed image, with the diagnosis of each.

    Attributes:
      level: the degradation level of the degraded image.
      original: [H, W] or [H, W, 1] float in [0, 1].
      degraded: same shape as `original`; None where it is not known.
      reconstructions: reconstructor name -> image of the same shape.
      truth: binary mask [H, W], or None.
      mask_original: the mask predicted on the original, or None.
      masks_reconstructed: reconstructor name -> mask predicted on its reconstruction.
      scores_original: task name -> score in [0, 1] (classification) or Dice (segmentation) of the
        original.
      scores_reconstructed: reconstructor name -> the same of its reconstruction.
      labels: classification task name -> 0, 1 or NaN (unknown).
      thresholds: task name -> decision threshold, where one is known.
      attention_task: the classification task whose Grad-CAM maps are given, "" for none.
      attention_original: [H, W] Grad-CAM map of the original, at least 0, or None.
      attention_reconstructed: reconstructor name -> the same of its reconstruction.
      degraded_levels: level -> degraded image of the same shape, where other levels are to be shown
        too.
      caption: words for the reader, without identifiers (e.g. "woman over 58").
      identifier: the example's name; printed only where the options ask for identifiers.

    Example:
      >>> image = np.zeros((16, 16))
      >>> panel = ExamplePanel(8.0, image, image, {"unet": image}, caption="woman over 58")
      >>> ExamplePanel(8.0, image, image, {"unet": image[:8]})
      Traceback (most recent call last):
      ValueError: ExamplePanel.reconstructions['unet'] has shape (8, 16), the original (16, 16)
    """

    level: float
    original: np.ndarray
    degraded: np.ndarray | None
    reconstructions: Mapping[str, np.ndarray]
    truth: np.ndarray | None = None
    mask_original: np.ndarray | None = None
    masks_reconstructed: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    scores_original: Mapping[str, float] = dataclasses.field(default_factory=dict)
    scores_reconstructed: Mapping[str, Mapping[str, float]] = dataclasses.field(
        default_factory=dict
    )
    labels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    attention_task: str = ""
    attention_original: np.ndarray | None = None
    attention_reconstructed: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    degraded_levels: Mapping[float, np.ndarray] = dataclasses.field(default_factory=dict)
    caption: str = ""
    identifier: str = ""

    def __post_init__(self) -> None:
        """Checks that all images and masks share one shape.

        Raises:
          ValueError: a picture has another shape than `original`; the message names it.
        """
        # without the channel: [H, W] and [H, W, 1] may be mixed
        shape = np.shape(self.original)[:2]
        pictures = {
            "degraded": self.degraded,
            "truth": self.truth,
            "mask_original": self.mask_original,
            "attention_original": self.attention_original,
        }
        pictures |= {f"reconstructions[{k!r}]": v for k, v in self.reconstructions.items()}
        pictures |= {f"masks_reconstructed[{k!r}]": v for k, v in self.masks_reconstructed.items()}
        pictures |= {
            f"attention_reconstructed[{k!r}]": v for k, v in self.attention_reconstructed.items()
        }
        pictures |= {f"degraded_levels[{k!r}]": v for k, v in self.degraded_levels.items()}
        for name, picture in pictures.items():
            if picture is not None and np.shape(picture)[:2] != shape:
                raise ValueError(
                    f"ExamplePanel.{name} has shape {np.shape(picture)}, the original "
                    f"{np.shape(self.original)}"
                )
