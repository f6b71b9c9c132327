"""A table of the report with its caption, and the two files it is written as: CSV and LaTeX."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pandas as pd

from fairrecon_jax.report.tables.entries import Missing, number
from fairrecon_jax.runtime import csv_text as csv_file

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "−": "$-$", "–": "--", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "→": r"$\to$",
    "△": r"$\triangle$", "▼": r"$\nabla$", "⇄": r"$\rightleftharpoons$", "↔": r"$\leftrightarrow$",
    "←": r"$\gets$",
    "Δ": r"$\Delta$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "\n": " ",
}  # fmt: skip
Spans = tuple[tuple[str, int], ...]
"""Headings over several columns: (heading, number of columns)."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with its title and caption.

    Attributes:
      key: file stem.
      title: one line.
      caption: how to read it.
      frame: what is shown: text, numbers and `Missing` entries.
      spans: headings over the columns; empty for none.
      labels: how many leading columns are row labels.
      folded: show it closed, behind a click.
    """

    key: str
    title: str
    caption: str
    frame: pd.DataFrame
    spans: Spans = ()
    labels: int = 1
    folded: bool = False

    def reasons(self) -> list[tuple[str, int]]:
        """Reasons of the missing entries with how often each occurs, the commonest first."""
        counted = Counter(
            entry.reason or "no reason is given in the table"
            for column in range(self.frame.shape[1])  # by position: names may repeat
            for entry in self.frame.iloc[:, column]
            if isinstance(entry, Missing)
        )
        return sorted(counted.items(), key=lambda item: (-item[1], item[0]))

    def heads(self) -> list[str]:
        """The heading of every column, with the one that spans it: "test: patients"."""
        return headings(self.frame, self.spans)

    def csv(self) -> str:
        """The table as CSV, see `csv_text`."""
        return csv_text(self.frame, self.spans)

    def latex(self) -> str:
        """The table as a LaTeX `tabular` in booktabs style, with caption and label."""
        columns = [str(c) for c in self.frame.columns]
        layout = "l" * self.labels + "r" * (len(columns) - self.labels)
        caption = " ".join(f"{escape_latex(self.title)}. {escape_latex(self.caption)}".split())
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{self.key}}}",
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
        ]
        if self.spans:
            headings = [
                rf"\multicolumn{{{n}}}{{c}}{{{escape_latex(heading)}}}" for heading, n in self.spans
            ]
            lines.append(" & ".join(headings) + r" \\")
        lines += [" & ".join(escape_latex(c) for c in columns) + r" \\", r"\midrule"]
        for row in self.frame.itertuples(index=False):
            lines.append(" & ".join(escape_latex(number(v)) for v in row) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def escape_latex(text: str) -> str:
    """Text with every character that LaTeX treats specially made literal."""
    # character by character, so that the braces of one replacement are not escaped by another
    return "".join(LATEX.get(c, c) for c in text)


def csv_text(frame: pd.DataFrame, spans: Spans = ()) -> str:
    """A frame as CSV; a missing entry reads "n.e." with its reason, a column under a spanning
    heading is named "heading: column".
    """

    def plain(entry: Any) -> Any:
        if not isinstance(entry, Missing):
            return entry
        return f"n.e. ({entry.reason})" if entry.reason else "n.e."

    # by position, as names may repeat under several headings
    columns = {i: [plain(entry) for entry in frame.iloc[:, i]] for i in range(frame.shape[1])}
    out = pd.DataFrame(columns)
    out.columns = pd.Index(headings(frame, spans))
    return csv_file.csv_text(out)


def headings(frame: pd.DataFrame, spans: Spans) -> list[str]:
    """Names of columns behind the heading that spans them."""
    over = [heading for heading, width in spans for _ in range(width)] or [""] * frame.shape[1]
    names = zip(over, map(str, frame.columns), strict=True)
    return [f"{heading}: {name}" if heading else name for heading, name in names]
