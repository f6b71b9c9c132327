"""The choices of an assessment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Real
from typing import Literal, get_args

from fairrecon_jax.inference.group_statistic import LABEL_WEIGHTS
from fairrecon_jax.inference.group_tables import MIN_PATIENTS
from fairrecon_jax.metrics.conventions import ALIASES, CONVENTIONS, Convention, canonical
from fairrecon_jax.runtime.choices import check_numbers
from fairrecon_jax.types import InputError

ThresholdRule = Literal[
    "balanced", "fixed", "sensitivity", "specificity", "per_version", "published"
]
"""How the decision threshold of a task is found.

balanced     sensitivity ~ specificity on the original images of the validation patients; used for
             every version
fixed        `threshold_value`
sensitivity  the largest score that reaches the sensitivity `threshold_value` on the same
             validation originals
specificity  the smallest score that reaches the specificity `threshold_value` on the same
             validation originals
per_version  balanced, fitted again on the validation reconstructions: a convention without a
             verdict
published    balanced, fitted per version on the evaluated patients themselves: the published
             code's convention, without a verdict
"""

EmptyTruth = Literal["undefined", "one", "zero", "published"]
"""What the Dice of an image counts as whose true region is empty.

undefined    nothing: the image is left out, whatever was predicted in it
one          1 where nothing was predicted, 0 where something was
zero         0 in both cases
published    left out where nothing was predicted, version by version, and 0 where something was:
             the published code's convention, under which a version may lose an image that the other
             keeps
"""
RocPoints = Literal["all", "thinned"]
"""At which points of the ROC curve a balanced threshold is looked for: at every score, or at those
that scikit-learn's `roc_curve` keeps (the published code), see `metrics.balanced_threshold`.
"""

SHARED_RULES = ("balanced", "fixed", "sensitivity", "specificity")
RATE_RULES = ("sensitivity", "specificity")

RENAMED = {"floor_draws": "null_draws", "flips": "permutations"}
"""Earlier names of options: still accepted in files, with a warning."""


MOST: Mapping[str, float] = {
    "alpha": 0.5,
    "bins": 1000,
    "min_patients": 10**6,
    "null_draws": 10**6,
    "permutations": 10**6,
    "replicates": 10**6,
    "threshold_redraws": 10**5,
    "label_weights": 1e6,
}
"""More of these would fill the memory, run for years, or mean nothing."""


@dataclasses.dataclass(frozen=True)
class AssessOptions:
    """What an assessment computes.

    Attributes:
      permutations: draws behind the tests, at most; cohorts of more than 1,000 patients get fewer,
        never below 999.
      seed: of the permutations, the signs and the published recipe.
      conventions: how group gaps become one number (`metrics.CONVENTIONS`).
      min_patients: a stratum (group x label) with fewer patients, or fewer effective patients, is
        not judged.
      label_weights: weights of false alarms and of missed findings in the test of equalised odds,
        see `group_test`.
      adjustment: for the family of comparisons: "westfall_young" from the draws that the tests
        share, or "holm".
      alpha: level of tests; intervals have level 1 - alpha.
      empty_mask: Dice of images whose true region is empty, see `EmptyTruth`.
      threshold_rule: see `ThresholdRule`.
      threshold_value: the threshold (fixed) or the wanted rate (sensitivity, specificity), one for
        all tasks or by task name.
      roc_points: where a balanced threshold is looked for, see `RocPoints`.
      bins: equally wide bins of the calibration error.
      intersections: tuples of attribute names to cross into attributes of their own, e.g. (("sex",
        "race"),).
      strata: a column of the predictions (a site, a scanner, a view) within whose values groups are
        permuted: what is explained by it is no longer a difference between groups; "" for none.
      continuous: numeric columns of the predictions, such as "age_years", along which the change is
        shown as a curve and tested.
      null_draws: permutations behind the permutation null.
      auroc_gaps: also test whether the AUROC changed equally in every group.
      scores: also test whether the scores, given the label, changed equally in every group.
      threshold_redraws: redraws of the validation patients behind the stability of the primary
        verdicts; 0 = none; at most 50 for more than 20,000 units.
      replicates: bootstrap replicates of the published recipe (convention "mean"): its one-tailed p
        stands in p_value, the two-sided one in p_two_sided.

    Example:
      >>> options = AssessOptions(threshold_rule="fixed", threshold_value=0.5, alpha=0.01)
      >>> options.min_patients, options.adjustment
      (10, 'westfall_young')
    """

    permutations: int = 9999
    seed: int = 0
    conventions: tuple[Convention, ...] = ("worst_case_estimable", "worst_case", "mean")
    min_patients: int = MIN_PATIENTS
    label_weights: tuple[float, float] = LABEL_WEIGHTS
    adjustment: Literal["westfall_young", "holm"] = "westfall_young"
    alpha: float = 0.05
    empty_mask: EmptyTruth = "undefined"
    threshold_rule: ThresholdRule = "balanced"
    threshold_value: float | Mapping[str, float] | None = None
    roc_points: RocPoints = "all"
    bins: int = 10
    intersections: tuple[tuple[str, ...], ...] = ()
    strata: str = ""
    continuous: tuple[str, ...] = ()
    null_draws: int = 1000
    auroc_gaps: bool = True
    scores: bool = True
    threshold_redraws: int = 200
    replicates: int = 1000

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
          ValueError: a field is out of range; the message names it.
        """
        check_numbers(self)
        least = {"replicates": 1, "bins": 1, "null_draws": 1, "permutations": 19, "min_patients": 2}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} must be at least {smallest}, got {getattr(self, name)}")
        if self.threshold_redraws < 0:
            raise ValueError(
                f"threshold_redraws must not be negative, got {self.threshold_redraws}"
            )
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}")
        for name, largest in MOST.items():
            value = getattr(self, name)
            # both numbers of a pair
            if max(value if isinstance(value, tuple) else (value,), default=0) > largest:
                raise ValueError(f"{name} must be at most {largest:g}, got {value}")
        if again := [one for one in self.intersections if len(set(one)) < len(one)]:
            raise ValueError(f"intersections cross an attribute with itself: {again[0]}")
        if len(self.label_weights) != 2 or not all(weight > 0 for weight in self.label_weights):
            raise ValueError(f"label_weights must be two numbers above 0, got {self.label_weights}")
        unknown = [c for c in self.conventions if c not in (*CONVENTIONS, *ALIASES)]
        if unknown or not self.conventions:
            raise ValueError(f"conventions must be among {CONVENTIONS}, got {self.conventions}")
        # around the frozen dataclass: beyond this line no alias is known
        object.__setattr__(self, "conventions", tuple(map(canonical, self.conventions)))
        crossed = [tuple(sorted(one)) for one in self.intersections]
        for name, several in (
            ("continuous", self.continuous),
            ("conventions", self.conventions),
            ("intersections", crossed),
        ):
            if len(set(several)) < len(several):
                raise ValueError(f"{name} must differ from one another, got {getattr(self, name)}")
        for name, allowed in (
            ("adjustment", ("westfall_young", "holm")),
            ("threshold_rule", get_args(ThresholdRule)),
            ("empty_mask", get_args(EmptyTruth)),
            ("roc_points", get_args(RocPoints)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        self._check_value()

    @property
    def judges(self) -> bool:
        """Whether decisions get a verdict: both versions are decided at one threshold."""
        return self.threshold_rule in SHARED_RULES

    def _check_value(self) -> None:
        """A value is given exactly where the rule needs one, and is a number in [0, 1]."""
        needed = self.threshold_rule in ("fixed", *RATE_RULES)
        if needed != (self.threshold_value is not None):
            verb = "needs" if needed else "takes no"
            raise ValueError(
                f"threshold_rule {self.threshold_rule!r} {verb} "
                f"threshold_value, got {self.threshold_value!r}"
            )
        values = (
            self.threshold_value.values()
            if isinstance(self.threshold_value, Mapping)
            else [self.threshold_value]
        )
        if self.roc_points != "all" and self.threshold_rule in ("fixed", *RATE_RULES):
            raise ValueError(
                f"roc_points {self.roc_points!r} is for balanced thresholds, and threshold_rule is "
                f"{self.threshold_rule!r}"
            )
        # a text may read like a number, and is none
        if needed and not all(isinstance(v, Real) and 0 <= v <= 1 for v in values):
            raise ValueError(
                f"threshold_value must be a number in [0, 1], got {self.threshold_value!r}"
            )

    def value_for(self, task: str) -> float:
        """`threshold_value` of one task.

        Raises:
          InputError: the values are given by task and this one is missing.
        """
        if isinstance(self.threshold_value, Mapping):
            if task not in self.threshold_value:
                raise InputError(
                    f"threshold_value has no entry for task {task!r}, only "
                    f"{sorted(self.threshold_value)}"
                )
            return float(self.threshold_value[task])
        if self.threshold_value is None:
            raise InputError(f"threshold_value is not set, but task {task!r} needs it")
        return float(self.threshold_value)
