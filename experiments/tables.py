"""Tables of the experiments in Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers with four significant digits."""

    def entry(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)

    lines = [
        list(map(str, table.columns)),
        ["---"] * table.shape[1],
        *(map(entry, row) for row in table.itertuples(index=False)),
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
