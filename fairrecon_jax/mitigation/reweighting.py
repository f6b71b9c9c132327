"""Reweighting: fine-tune on examples drawn inversely to the frequency of their joint group; the
loss stays as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from fairrecon_jax.mitigation.interface import Mitigation, MitigationContext, check_choice, register
from fairrecon_jax.mitigation.sampling import Sampling, sample
from fairrecon_jax.types import InputError

OUTCOME = ("absent", "present")


@register("reweighting")
@dataclasses.dataclass(frozen=True)
class Reweighting(Mitigation):
    """Sampling weights inverse to the joint frequency of attribute groups, optionally crossed with
    an outcome.

    Attributes:
      attributes: names of the attributes that are crossed; () for all. Age enters by its groups, as
        everywhere in a study.
      outcome: name of a task whose label (or non-empty mask) is crossed too; "" for none. An
        unknown label follows `unknown`.
      unknown: "group" makes the unknown of an attribute one more group, "leave_out" never draws
        such a row.
      cap: largest weight as a multiple of `cap_to` before cutting (the rest is then rescaled to a
        mean of 1); 0 = no cap.
      cap_to: "mean" or "smallest" weight.

    Example:
      >>> cohort = fr.arrays(np.zeros((4, 16, 16)), groups={"sex": ["f", "m", "m", "m"]})
      >>> context = fr.mitigation.MitigationContext(cohort.spec)
      >>> found = Reweighting().sampling(context, cohort.attributes(), cohort.labels())
      >>> found.weights.round(2).tolist()  # both sexes are drawn equally often
      [2.0, 0.67, 0.67, 0.67]
    """

    attributes: tuple[str, ...] = ()
    outcome: str = ""
    unknown: Literal["group", "leave_out"] = "group"
    cap: float = 10.0
    cap_to: Literal["mean", "smallest"] = "mean"

    def __post_init__(self) -> None:
        check_choice("reweighting", "unknown", self.unknown, ("group", "leave_out"))
        check_choice("reweighting", "cap_to", self.cap_to, ("mean", "smallest"))
        # Below 1 the cap would cut the mean itself.
        if self.cap and self.cap < 1:
            raise ValueError(
                f"mitigation 'reweighting': cap must be 0 (none) or at least 1, got {self.cap}"
            )

    def sampling(
        self, context: MitigationContext, attributes: np.ndarray, outcomes: np.ndarray
    ) -> Sampling:
        """See `Mitigation`.

        Raises:
          InputError: an attribute or the outcome is not in the specification, or no row is left.
        """
        chosen = context.attributes(self.attributes)
        columns = [np.asarray(attributes)[:, context.column(a)] for a in chosen]
        names, titles = [a.groups for a in chosen], [a.name for a in chosen]
        if self.outcome:
            tasks = [t.name for t in context.spec.tasks]
            if self.outcome not in tasks:
                raise InputError(
                    f"mitigation 'reweighting': outcome {self.outcome!r} is no task; "
                    f"these are: {', '.join(tasks)}"
                )
            # An unknown label is one more group, or left out, like an unknown attribute.
            columns.append(
                np.nan_to_num(
                    np.asarray(outcomes, float)[:, tasks.index(self.outcome)], nan=-1
                ).astype(np.int64)
            )
            names, titles = [*names, OUTCOME], [*titles, self.outcome]
        return sample(np.stack(columns, 1), names, titles, self.unknown, self.cap, self.cap_to)
