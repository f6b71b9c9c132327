"""The interactive part of the page: one finding and attribute at a time, drawn by Vega-Lite from
numbers that are in the page.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.report.charts import charts
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.long_tables import OTHERS
from fairrecon_jax.report.select import Findings, each, known
from fairrecon_jax.report.tables.entries import p_value

RATES = {"sensitivity": "n_pos", "specificity": "n_neg", "auroc": "n", "dice": "n"}
"""What is drawn of each group, with the column of how many stand behind it."""
STRATA = {"gap_sensitivity": "positive", "gap_specificity": "negative"}
SNIPPET = "window.vegaEmbed = vegaEmbed;"
"""What the library leaves to the page."""
MOST_BYTES = 2_000_000
"""The numbers may take this much of a page that mail programs still carry."""
PLACE = ["task", "attribute", "reconstructor", "mitigation", "level"]


@dataclasses.dataclass(frozen=True)
class Explorer:
    """What the page needs.

    Attributes:
      data: JSON for a script element.
      charts: Vega-Lite specifications as JSON.
      library: Vega, Vega-Lite and their embedding as one script.
    """

    data: str
    charts: str
    library: str


def explorer(findings: Findings, curves: pd.DataFrame | None, least: int) -> Explorer | None:
    """The numbers behind the choices of finding, attribute, method and level.

    Args:
      findings: the tables, small numbers withheld.
      curves: of `assessment.score_curves`; None where there are none.
      least: curves of fewer patients or images of a label are left out.

    Returns:
      None where no group has a rate.
    """
    rates = group_rates(findings)
    if rates.empty:
        return None
    tables = {
        "rates": rates,
        "flips": flips(findings, least),
        "verdicts": verdicts(findings),
        "curves": curve_points(findings, curves, least),
    }
    names = {
        "levels": [style.level_name(v, findings.spec.degradation) for v in findings.levels],
        "level": style.level_name(findings.headline_level, findings.spec.degradation),
        "unit": findings.spec.degradation.unit,
        "groups": {a: findings.groups(a) for a in findings.attributes},
        "least": least,
    }
    text = json_of({**names, **{name: packed(table) for name, table in tables.items()}})
    if len(text) > MOST_BYTES:
        # the curves are the most numbers and the least asked for
        tables["curves"] = tables["curves"].iloc[:0]
        text = json_of({**names, **{name: packed(table) for name, table in tables.items()}})
    return Explorer(text, json_of(charts()), library())


def library() -> str:
    """Vega and Vega-Lite as one script; what would end a script element is broken up."""
    # 90 MB that only a report needs
    import vl_convert

    script = str(vl_convert.javascript_bundle(SNIPPET))
    # these two alone mean something to the parser of HTML; in strings and patterns of JavaScript
    # the longer forms are the same text
    return re.sub("</(?=script)", r"<\\/", script, flags=re.IGNORECASE).replace("<!--", r"\x3c!--")


def json_of(value: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever names hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def packed(table: pd.DataFrame) -> dict[str, Any]:
    """A table by columns: text as numbers of a list of distinct texts, numbers with four digits."""
    columns: dict[str, Any] = {}
    for name in table.columns:
        values = table[name]
        if pd.api.types.is_numeric_dtype(values):
            columns[name] = [None if not known(v) else digits(v) for v in values]
        else:
            codes, words = pd.factorize(values.astype(str))
            columns[name] = {"words": list(words), "codes": codes.tolist()}
    return columns


def digits(value: float) -> float | int:
    """A number with four decimals; whole ones as such."""
    return int(value) if float(value).is_integer() else round(float(value), 4)


def named(findings: Findings, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows' place in words: finding, method, level."""
    methods = zip(rows["reconstructor"], rows["mitigation"], strict=True)
    return pd.DataFrame(
        {
            "finding": rows["task"].map(findings.task_title).astype(object),
            "attribute": rows["attribute"],
            "method": [findings.method_name(r, m) for r, m in methods],
            "level": [style.level_name(v, findings.spec.degradation) for v in rows["level"]],
        },
        index=rows.index,
    )


def group_rates(findings: Findings) -> pd.DataFrame:
    """Rates of every group before and after, with the interval after and the counts."""
    rows = findings.pick(
        "performance",
        metric=list(RATES),
        attribute=[*findings.attributes, *findings.intersections],
        version=["change", "reconstructed"],
    )
    rows = rows[(rows["group"] != "") & (rows["task"] != "")]
    keys = [*PLACE, "group", "metric"]
    after = rows[rows["version"] == "reconstructed"].drop_duplicates(keys)
    changes = rows[rows["version"] == "change"].drop_duplicates(keys)
    both = changes.drop(columns=["ci_low", "ci_high"]).merge(
        after[[*keys, "ci_low", "ci_high"]], on=keys, how="left"
    )
    both = both[both["original"].notna() & both["reconstructed"].notna()].reset_index(drop=True)
    counts = [getattr(r, RATES[r.metric]) for r in each(both)]
    return named(findings, both).assign(
        group=both["group"],
        metric=both["metric"].map(style.metric_name).astype(object),
        before=both["original"],
        after=both["reconstructed"],
        low=both["ci_low"],
        high=both["ci_high"],
        n=np.array(counts, float),
    )


def flips(findings: Findings, least: int) -> pd.DataFrame:
    """Per group and label the decisions before by after: right twice, lost, gained, wrong twice.

    They follow from the rates, their number and how many decisions changed; where images are
    weighted they do not, and the group is left out, as where a count would be below `least`.
    """
    rows = findings.change_rows("fairness", metric=list(STRATA), reference_group=OTHERS)
    found, kept = [], []
    for place, row in zip(rows.index, each(rows), strict=True):
        cells = two_by_two(row.n, row.original, row.reconstructed, row.n_changed)
        # how many changed is withheld where they are few
        hidden = least > 1 and not known(row.n_changed)
        if cells is None and not hidden:
            continue
        # one hidden cell would follow from the sum: then all four are hidden
        if cells is None or any(0 < count < least for count in cells):
            cells = (-1, -1, -1, -1)
        found.append([row.group, row.label_stratum, *cells])
        kept.append(place)
    columns = ["group", "label", "right", "lost", "gained", "wrong"]
    table = pd.DataFrame(found, columns=pd.Index(columns), index=kept)
    return named(findings, rows.loc[kept]).join(table).reset_index(drop=True)


def two_by_two(
    n: float, before: float, after: float, changed: float
) -> tuple[int, int, int, int] | None:
    """(right twice, lost, gained, wrong twice) of n decisions; None where they are no whole
    numbers.

    Args:
      n: decisions.
      before: share that was right on originals.
      after: share that is right on reconstructions.
      changed: decisions that differ.

    Example:
      >>> two_by_two(60, 44 / 60, 22 / 60, 22), two_by_two(10, 0.5, 0.5, 3)
      ((22, 22, 0, 16), None)
    """
    if not known(n, before, after, changed):
        return None
    lost = (changed - n * (after - before)) / 2
    right = n * before - lost
    parts = (right, lost, changed - lost, n - right - changed)
    whole = [round(part) for part in parts]
    exact = all(math.isclose(p, w, abs_tol=1e-6) for p, w in zip(parts, whole, strict=True))
    return (whole[0], whole[1], whole[2], whole[3]) if exact and min(whole) >= 0 else None


def verdicts(findings: Findings) -> pd.DataFrame:
    """The verdict of every comparison at every level, with its words: the strongest first, those of
    the degraded image last, as the page opens with the first claim.
    """
    rows = findings.change_rows(
        "fairness",
        metric=sorted(set(findings.gap_metrics.values())),
        attribute=[*findings.attributes, *findings.intersections],
    )
    rows = rows[rows["metric"] == rows["task"].map(findings.gap_metrics)]
    last = rows["reconstructor"].isin(findings.degraded)
    rows = rows.assign(last=last).sort_values(
        ["last", "p_adjusted"], kind="stable", ignore_index=True
    )
    p = [f"adjusted p {p_value(v)}" if known(v) else "" for v in rows["p_adjusted"]]
    return named(findings, rows).assign(
        verdict=rows["verdict"], group=rows["group"], gap=rows["gap"], p=p, words=rows["reason"]
    )


def curve_points(findings: Findings, curves: pd.DataFrame | None, least: int) -> pd.DataFrame:
    """Points of ROC and calibration curves; bins and groups with fewer than `least` are left
    out.
    """
    columns = ["finding", "attribute", "group", "method", "curve", "version", "x", "y", "n"]
    if curves is None or curves.empty:
        return pd.DataFrame(columns=pd.Index(columns))
    calibration = curves["curve"] == "calibration"
    enough = curves[["n_pos", "n_neg"]].min(axis=1) >= max(least, 1)
    enough &= ~calibration | (curves["n"] >= max(least, 1))
    enough &= curves["seed"] == curves["seed"].min()
    rows = curves[enough].fillna({"attribute": "", "group": "", "reconstructor": ""})
    methods = [findings.method_name(r, "none") if r else "" for r in rows["reconstructor"]]
    return pd.DataFrame(
        {
            "finding": rows["task"].map(findings.task_title).astype(object),
            "attribute": rows["attribute"],
            "group": rows["group"].where(rows["group"] != "", "everyone"),
            "method": methods,
            "curve": rows["curve"],
            "version": rows["version"],
            "x": rows["x"],
            "y": rows["y"],
            "n": rows["n"],
        }
    ).reset_index(drop=True)
