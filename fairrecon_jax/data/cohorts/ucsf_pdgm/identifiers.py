"""Exams and patients of UCSF-PDGM: three or four digits, follow-up suffixes, and follow-ups that
once had ids of their own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fairrecon_jax.runtime.text import normal

FOLLOW_UPS = {433: 315, 431: 278, 396: 175, 429: 138, 409: 181, 391: 289}
"""Version 2 ids of follow-up exams -> id of the patient's first exam."""

_NAME = re.compile(r"UCSF-PDGM-(\d+)(?:_(FU\d+d))?", flags=re.IGNORECASE)


class Exam(NamedTuple):
    """An exam: the number in its id and its follow-up suffix ("" for none)."""

    number: int
    follow_up: str

    @property
    def name(self) -> str:
        """The exam's name with four digits, e.g. "UCSF-PDGM-0138_FU001d"."""
        return f"UCSF-PDGM-{self.number:04d}" + (f"_{self.follow_up}" if self.follow_up else "")

    @property
    def patient_id(self) -> str:
        """The patient's name: the same for all exams of a patient."""
        # an id with a suffix bears the patient's own number already
        number = self.number if self.follow_up else FOLLOW_UPS.get(self.number, self.number)
        return f"UCSF-PDGM-{number:04d}"


def parse_exam(text: str) -> Exam | None:
    """The exam that an id, file or folder name starts with; None where it does not follow the
    naming.

    Ids are compared as numbers: "UCSF-PDGM-004" (tables) and "UCSF-PDGM-0004_nifti" (folders) are
    the same exam.
    """
    match = _NAME.match(normal(text))
    if not match:
        return None
    suffix = match[2] or ""
    # the pattern ignores case, an exam's name does not
    return Exam(int(match[1]), f"FU{suffix[2:-1]}d" if suffix else "")
