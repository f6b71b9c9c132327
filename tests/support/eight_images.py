"""Eight images of five patients: small enough for counts, sums and means by hand."""

import numpy as np

from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.classification import decide
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.units import JudgedUnits

NAN = float("nan")
EVERYONE = Grouping("", ("",), np.zeros(8, np.int32), "")
SEX = Grouping("sex", ("Female", "Male"), np.array([0, 0, 0, 0, 1, 1, 1, -1], np.int32), "Female")
LABEL = np.array([0, 1, 1, 1, 0, 1, NAN, 1])
BEFORE = np.array([[0.1, 0.9, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9]])
AFTER = np.array(
    [[0.5, 0.9, 0.4, NAN, 0.2, 0.7, 0.1, 0.3], [0.1, 0.9, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9]]
)
PATIENT = np.array([0, 0, 0, 1, 2, 2, 3, 4], np.int32)


def judged_units(after=AFTER, before=BEFORE, paired=True, **changes) -> JudgedUnits:
    """Eight images of five patients in two study cells, some of them incomplete."""
    fields = {
        "label": LABEL,
        "patient": PATIENT,
        "groupings": (EVERYONE, SEX),
        "unit": "image",
        "note": "",
    } | changes
    return JudgedUnits(
        original=np.broadcast_to(before, after.shape), reconstructed=after, paired=paired, **fields
    )


def decided(units=None, value=0.5):
    """Units and their decisions at one threshold."""
    units = units or judged_units()
    tau = np.full(len(units.reconstructed), value)
    return units, decide(units, Thresholds(tau, tau, "fixed"))
