"""Tables of the report as CSV, LaTeX and HTML cells."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pandas as pd

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table with its words.

    Attributes:
      key: file stem.
      title: one line.
      caption: how to read it.
      frame: what is shown; text and numbers.
      folded: show it closed, behind a click.
    """

    key: str
    title: str
    caption: str
    frame: pd.DataFrame
    folded: bool = False


def number(value: Any, digits: int = 3) -> str:
    """A cell as text: numbers with `digits` decimals, whole numbers without, missing as an en dash."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int) or float(value).is_integer() and abs(value) >= 1:
        return f"{int(value):,}"
    return f"{value:.{digits}f}".replace("-", "−")


def escape_latex(text: str) -> str:
    """Text with every character that LaTeX treats specially made literal."""
    return "".join(LATEX.get(c, c) for c in text)


def latex(sheet: Sheet) -> str:
    """The table as a LaTeX `tabular` in booktabs style, with caption."""
    columns = [str(c) for c in sheet.frame.columns]
    lines = [r"\begin{table}", rf"\caption{{{escape_latex(sheet.title)}. {escape_latex(sheet.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{{'l' * len(columns)}}}", r"\toprule", " & ".join(map(escape_latex, columns)) + r" \\", r"\midrule"]
    for row in sheet.frame.itertuples(index=False):
        lines.append(" & ".join(escape_latex(number(v)) for v in row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
