"""Tables whose every rate is chosen: 60 patients per sex and label, one image each, scores 0.2 or
0.8, decided at 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import AssessOptions, assess
from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, Task

SIZE = 60
STRATA = (("Female", 0), ("Female", 1), ("Male", 0), ("Male", 1))
Pairs = tuple[tuple[int, int], ...]
"""Positive decisions (before, after) of women without, women with, men without and men with the
finding.
"""

SCENARIOS: dict[str, Pairs] = {
    "widened": ((6, 6), (54, 30), (6, 6), (54, 54)),
    "narrowed": ((6, 6), (30, 54), (6, 6), (54, 54)),
    "reversed": ((6, 6), (36, 57), (6, 6), (57, 36)),
    "swapped": ((6, 6), (54, 48), (6, 6), (48, 54)),
    "alike": ((6, 6), (54, 48), (6, 6), (54, 48)),
    "same": ((6, 6), (54, 54), (12, 12), (42, 42)),
    "chance": ((30, 30), (30, 6), (30, 30), (30, 30)),
    "few": ((6, 6), (54, 30), (6, 6), (60, 60)),
}
KNOWN = {"few": (0, SIZE, SIZE, 5)}
"""How many labels of each stratum are known; all where not named."""


NAMES = tuple(SCENARIOS)
CHANGE = {"attribute": "sex", "version": "change", "convention": "worst_case_estimable"}
ALL = ("worst_case", "mean", "worst_case_estimable")


def spec(
    names: Sequence[str], groups: tuple[str, ...] = ("Female", "Male"), modality: str = "xray"
) -> CohortSpec:
    """A cohort with those tasks and the attribute sex."""
    tasks = tuple(Task(name, "classification") for name in names)
    return CohortSpec(
        "hand",
        "Hand",
        modality,
        tasks,
        (Attribute("sex", groups),),
        describe("xray_low_dose", (1e4,), 1e4),
    )


def table(names: Sequence[str], scenarios: Mapping[str, Pairs] = SCENARIOS) -> pd.DataFrame:
    """The predictions of those scenarios, one task each, on the same patients."""
    place = np.repeat(np.arange(4), SIZE)
    number = np.tile(np.arange(SIZE), 4)
    people = [f"p{i:03d}" for i in range(len(place))]
    frame = pd.DataFrame(
        {
            "example_id": people,
            "patient_id": people,
            "split": "test",
            "sex": [STRATA[c][0] for c in place],
        }
    )
    frame = frame.assign(level=1e4, reconstructor="unet", mitigation="none", seed=0, cohort="hand")
    for name in names:
        known = np.array(KNOWN.get(name, (SIZE,) * 4))[place]
        frame[f"{name}__label"] = np.where(number < known, [STRATA[c][1] for c in place], np.nan)
        for version, yes in zip(("original", "reconstructed"), np.array(scenarios[name]).T):
            frame[f"{name}__{version}"] = np.where(number < yes[place], 0.8, 0.2)
    return frame


def options(**changes) -> AssessOptions:
    """Few draws, decisions at 0.5."""
    quick = {
        "replicates": 20,
        "permutations": 199,
        "null_draws": 10,
        "threshold_rule": "fixed",
        "threshold_value": 0.5,
    }
    return AssessOptions(**{**quick, **changes})


def numeric(long: pd.DataFrame, drop: Sequence[str] = ()) -> pd.DataFrame:
    """The columns of numbers of a long table, without the given ones."""
    return long.select_dtypes("number").drop(columns=list(drop)).reset_index(drop=True)


SPEC = spec(NAMES)


def judge(
    predictions: pd.DataFrame, cohort: CohortSpec = SPEC, **changes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Performance and fairness of predictions under all conventions."""
    return assess(predictions, cohort, options(conventions=ALL, **changes))


def assert_same(first: pd.DataFrame, second: pd.DataFrame, drop: Sequence[str] = (), **close):
    """Two long tables hold the same numbers, without the columns of `drop`."""
    pd.testing.assert_frame_equal(*(numeric(long, drop) for long in (first, second)), **close)
