"""Tables of the report: their cells as text, and the tables as CSV and LaTeX."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import pandas as pd

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "−": "$-$", "–": "--", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "→": r"$\to$", "▲": r"$\triangle$", "▼": r"$\nabla$",
    "⇄": r"$\leftrightarrow$", "◆": r"$\diamond$", "Δ": r"$\Delta$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "\n": " ",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Missing:
    """A cell that could not be estimated, with the reason; never shown as zero."""

    reason: str = ""

    def __str__(self) -> str:
        """How the cell reads in a CSV or LaTeX table."""
        return "n.e."


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with its words.

    Attributes:
      key: file stem.
      title: one line.
      caption: how to read it.
      frame: what is shown: text, numbers and `Missing` cells.
      spans: headings over the columns as (words, number of columns); empty for none.
      labels: how many leading columns are row labels.
      folded: show it closed, behind a click.
      listed: write the files but do not print the table on the page.
    """

    key: str
    title: str
    caption: str
    frame: pd.DataFrame
    spans: tuple[tuple[str, int], ...] = ()
    labels: int = 1
    folded: bool = False
    listed: bool = False

    def reasons(self) -> list[tuple[str, int]]:
        """Reasons of the missing cells with how often each occurs, the commonest first."""
        found: dict[str, int] = {}
        for column in range(self.frame.shape[1]):
            for cell in self.frame.iloc[:, column]:
                if isinstance(cell, Missing):
                    found[cell.reason or "no reason is given in the table"] = (
                        found.get(cell.reason or "no reason is given in the table", 0) + 1
                    )
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def number(value: Any, digits: int = 3) -> str:
    """A cell as text: numbers with `digits` decimals, whole numbers with thousands separators,
    nothing as an en dash.
    """
    if isinstance(value, str | Missing):
        return str(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, numbers.Integral) or (float(value).is_integer() and abs(value) >= 1):
        return f"{int(value):,}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def fixed(value: float, digits: int, reason: str = "", sign: bool = False) -> str | Missing:
    """A number with exactly `digits` decimals, or a missing cell where it is not finite."""
    if not math.isfinite(value):
        return Missing(reason)
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")


def count(value: float) -> int | str:
    """A count as a whole number, an en dash where it is unknown."""
    return int(value) if math.isfinite(value) else "–"


def p_cell(p: float, reason: str = "") -> str | Missing:
    """A p-value, never shown as zero: "0.031", "< 0.001"; a missing cell where it is not finite."""
    return "< 0.001" if p < 0.001 else fixed(p, 3 if p < 0.1 else 2, reason)


def with_interval(
    value: float, low: float, high: float, digits: int, reason: str = "", sign: bool = False
) -> str | Missing:
    """A number with its interval in brackets: "0.81 (0.79–0.83)", "+0.1 (−0.1 to +0.3)"; without
    the bracket where no interval is known.
    """
    words = fixed(value, digits, reason, sign)
    if isinstance(words, Missing) or not (math.isfinite(low) and math.isfinite(high)):
        return words
    joint = " to " if sign or low < 0 else "–"
    return f"{words} ({fixed(low, digits, sign=sign)}{joint}{fixed(high, digits, sign=sign)})"


def escape_latex(text: str) -> str:
    """Text with every character that LaTeX treats specially made literal."""
    return "".join(LATEX.get(c, c) for c in text)


def latex(sheet: Table) -> str:
    """The table as a LaTeX `longtable`-free `tabular` in booktabs style, with caption and label."""
    columns = [str(c) for c in sheet.frame.columns]
    layout = "l" * sheet.labels + "r" * (len(columns) - sheet.labels)
    caption = " ".join(f"{escape_latex(sheet.title)}. {escape_latex(sheet.caption)}".split())
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{sheet.key}}}",
    ]
    lines += [rf"\begin{{tabular}}{{{layout}}}", r"\toprule"]
    if sheet.spans:
        lines.append(
            " & ".join(
                rf"\multicolumn{{{n}}}{{c}}{{{escape_latex(words)}}}" for words, n in sheet.spans
            )
            + r" \\"
        )
    lines += [" & ".join(escape_latex(c) for c in columns) + r" \\", r"\midrule"]
    for row in sheet.frame.itertuples(index=False):
        lines.append(" & ".join(escape_latex(number(v)) for v in row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def csv(frame: pd.DataFrame, spans: tuple[tuple[str, int], ...] = ()) -> str:
    """The table as CSV; a missing cell reads "n.e." with its reason, a column under a spanning
    heading is named "heading: column".
    """

    def plain(cell: Any) -> Any:
        return (
            cell
            if not isinstance(cell, Missing)
            else f"n.e. ({cell.reason})"
            if cell.reason
            else "n.e."
        )

    columns = {i: [plain(cell) for cell in frame.iloc[:, i]] for i in range(frame.shape[1])}
    out = pd.DataFrame(columns)
    over = [words for words, width in spans for _ in range(width)] or [""] * frame.shape[1]
    out.columns = pd.Index(
        [
            f"{words}: {name}" if words else name
            for words, name in zip(over, frame.columns, strict=True)
        ]
    )
    return out.to_csv(index=False, lineterminator="\n")
