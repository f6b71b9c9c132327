"""The record of a study: seeds, versions, split hash, exclusions, run times; and what the tables
state about how they were made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.long_tables import GAPS
from fairrecon_jax.report.select import Findings, each
from fairrecon_jax.report.tables.entries import Missing, fixed, number
from fairrecon_jax.report.tables.table import Table
from fairrecon_jax.report.words import listing
from fairrecon_jax.runtime.progress import duration
from fairrecon_jax.types import PRIMARY, plural

KNOWN = (
    "config", "seeds", "versions", "split_hash", "run_times", "exclusions", "conventions",
    "warnings",
)  # fmt: skip
"""Keys of the provenance that have a place of their own in the report."""
NOT_STATED = "not stated in the tables"


def text_of(value: Any) -> str:
    """A value as text: text as it is, anything else as indented JSON."""
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, indent=2, default=str, ensure_ascii=False, sort_keys=True)
    )


def pairs(value: Any, name: str) -> list[tuple[str, str]]:
    """A mapping (or a single value) as rows of text.

    Args:
      value: mapping, list or scalar; None for nothing.
      name: label of a single value.

    Returns:
      (name, text) rows.
    """
    if value is None or value == "":
        return []
    if isinstance(value, Mapping):
        return [
            (str(k), number(v) if isinstance(v, int | float) else text_of(v))
            for k, v in value.items()
        ]
    several = isinstance(value, list | tuple)
    return [(name, ", ".join(map(str, value)) if several else str(value))]


def facts(provenance: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Seeds, versions, split hash and further keys of the provenance, as (title, rows); "not
    recorded" where one is missing.
    """
    absent = [("", "not recorded")]
    known = [
        ("Seeds", pairs(provenance.get("seeds"), "seed") or absent),
        ("Versions", pairs(provenance.get("versions"), "version") or absent),
        ("Split of the patients", pairs(provenance.get("split_hash"), "SHA-256") or absent),
    ]
    others = {k: v for k, v in provenance.items() if k not in KNOWN}
    return known + ([("More", pairs(others, ""))] if others else [])


def run_times(provenance: Mapping[str, Any]) -> Table | None:
    """Wall-clock time per stage.

    Raises:
      ValueError: a time is not a number of seconds.
    """
    times = provenance.get("run_times") or {}
    records = []
    for stage, seconds in times.items():
        try:
            records.append((str(stage), duration(float(seconds))))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"provenance['run_times'][{stage!r}] must be a number of seconds, got {seconds!r}"
            ) from error
    if not records:
        return None
    frame = pd.DataFrame(records, columns=["stage", "time"])
    return Table(
        "run_times", "Run times", "Wall-clock time of each stage on the machine that ran it.", frame
    )


REASONS = 5
"""Different reasons of a kind that are listed one by one: each image may have its own numbers."""


def exclusions(
    provenance: Mapping[str, Any], identifiers: bool, hide: Callable[[str], str]
) -> Table | None:
    """How many files or patients were left out, by reason; by name only where identifiers are asked
    for.

    Args:
      provenance: holds "exclusions": a table or list of records with `reason` (and `file`; with
        `action` "kept" where a value alone is unknown; with `kind` and its `meaning`, which stands
        for the reasons where a kind has more than `REASONS`), or a mapping reason -> count.
      identifiers: print the names.
      hide: takes identifiers out of reasons.

    Returns:
      The table, or None where nothing is recorded.

    Raises:
      ValueError: the records have no `reason`.
    """
    raw = provenance.get("exclusions")
    # len and not truth, which a frame does not have
    if raw is None or len(raw) == 0:
        return None
    if isinstance(raw, Mapping):
        frame = pd.DataFrame(
            {"reason": [hide(str(r)) for r in raw], "left out": [int(n) for n in raw.values()]}
        )
        return Table("exclusions", "What was left out", "Counts by reason.", frame)
    table = raw if isinstance(raw, pd.DataFrame) else pd.DataFrame(list(raw))
    if "reason" not in table.columns:
        raise ValueError(
            f"provenance['exclusions'] needs the column 'reason', got {list(table.columns)}"
        )
    if identifiers:
        return Table(
            "exclusions",
            "What was left out",
            "Each file with its reason.",
            table.drop(columns="meaning", errors="ignore").astype(str),
            folded=len(table) > 20,
        )
    # reasons are counted after names are withheld: two files' reasons may then be the same
    reasons = table["reason"].astype(str).map(hide)
    if "meaning" in table:
        many = reasons.groupby(table["kind"]).transform("nunique") > REASONS
        reasons = reasons.where(~many, table["meaning"])
    if "action" in table:
        reasons = reasons.where(table["action"] != "kept", "kept: " + reasons)
    counted = reasons.value_counts(sort=True)
    frame = pd.DataFrame({"reason": counted.index, "left out": counted.to_numpy()}).sort_values(
        ["left out", "reason"], ascending=[False, True]
    )
    return Table(
        "exclusions",
        "What was left out",
        "Counts by reason; what was kept is marked, names are withheld.",
        frame.reset_index(drop=True),
    )


def making(findings: Findings) -> list[tuple[str, str]]:
    """What the tables themselves state about how they were made: conventions, threshold rules,
    units, tests, families, seeds.
    """
    both = pd.concat([findings.performance, findings.fairness], ignore_index=True)

    def distinct(column: str, rows: pd.DataFrame = both) -> str:
        return "; ".join(dict.fromkeys(v for v in rows[column] if v)) or NOT_STATED

    tested = both[both["verdict"] != ""]
    others = [c for c in findings.conventions if c != findings.convention]
    shown = findings.convention if findings.conventions else NOT_STATED
    unit = [
        f"{findings.task_title(str(t))} by {u}"
        for t, u in both[both["task"] != ""].groupby("task", sort=False)["unit"].first().items()
        if u
    ]
    return [
        (
            "Convention shown",
            shown + (f" (also in the tables: {', '.join(others)})" if others else ""),
        ),
        ("Decision threshold", distinct("threshold_rule")),
        ("Unit of judgement", "; ".join(unit) or NOT_STATED),
        *ways(both),
        (
            "Families of tests that were corrected together",
            families(tested) if len(tested) else "no test ran",
        ),
        ("Seeds in the tables", ", ".join(map(str, findings.seeds)) or NOT_STATED),
    ]


def ways(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """How intervals and p-values were computed: each way once, after the numbers that have it."""
    kinds: dict[str, dict[str, list[str]]] = {"Intervals": {}, "Tests": {}}
    told = rows[rows["method"] != ""].drop_duplicates(["metric", "reference_group", "method"])
    for row in each(told):
        beyond = row.reference_group == "the other groups"
        name = "changes beyond the others" if beyond else style.metric_name(row.metric)
        for part in row.method.split("; "):
            kind = kinds["Tests" if part.startswith("p: ") else "Intervals"]
            names = kind.setdefault(part.removeprefix("p: ").replace(": ", ", "), [])
            if name not in names:
                names.append(name)
    return [
        (title, "; ".join(f"{listing(names)}: {way}" for way, names in kind.items()) or NOT_STATED)
        for title, kind in kinds.items()
    ]


def families(tested: pd.DataFrame) -> str:
    """The primary families by name, the others by number."""
    names = [str(name) for name in dict.fromkeys(tested["family"]) if name]
    first = [name for name in names if name.startswith(PRIMARY)]
    if not first:
        return "; ".join(names) or NOT_STATED
    others = len(names) - len(first)
    return "; ".join(first) + (
        f"; and {plural(others, 'secondary family')} of one metric, level and mitigation each"
        if others
        else ""
    )


def unjudged(findings: Findings) -> Table | None:
    """How often a value or verdict could not be given, by table and reason."""
    records = []
    for name, frame in (("performance", findings.performance), ("fairness", findings.fairness)):
        rows = frame[
            (frame["verdict"].isin(["not estimable", "at chance"]))
            | (frame["value"].isna() & (frame["reason"] != ""))
        ]
        for reason, count in rows["reason"].replace("", "no reason given").value_counts().items():
            records.append((name, str(reason), int(count)))
    if not records:
        return None
    frame = pd.DataFrame(records, columns=["table", "reason", "rows"]).sort_values(
        ["table", "rows", "reason"], ascending=[True, False, True]
    )
    caption = (
        "Rows of the long tables without a value or verdict. They are shown as n.e., never as zero."
    )
    return Table(
        "not_estimable",
        "What could not be estimated, and why",
        caption,
        frame.reset_index(drop=True),
        folded=len(frame) > 12,
    )


def conventions(findings: Findings) -> Table | None:
    """The same gaps under every convention of the tables, so that numbers can be compared with
    other work.
    """
    rows = findings.fairness
    rows = rows[(rows["version"] == "change") & rows["metric"].isin(GAPS)]
    records = []
    for (metric, convention), gaps in rows.groupby(["metric", "convention"], sort=False):
        estimated = gaps.dropna(subset=["change"])

        # bound as a default: a closure would see the frame of the last turn
        def mean(column: str, estimated: pd.DataFrame = estimated) -> str | Missing:
            if estimated.empty:
                return Missing("nothing estimated")
            return fixed(estimated[column].mean(), 3, sign=column == "change")

        tested = (gaps["verdict"] != "").any()
        records.append(
            {
                "gap": style.metric_name(str(metric)),
                "convention": str(convention) or "any",
                "gaps": len(gaps),
                "mean on originals": mean("original"),
                "mean on reconstructions": mean("reconstructed"),
                "mean change": mean("change"),
                "verdicts": "yes" if tested else "no verdict under this convention",
            }
        )
    if not records:
        return None
    return Table(
        "conventions",
        "The gaps under each convention",
        "Averages over all cells of the study under each way of computing a gap. Only a "
        "convention with verdicts tells chance from change.",
        pd.DataFrame(records),
        labels=2,
    )


def thresholds(findings: Findings) -> Table | None:
    """The decision threshold of every task."""
    rows = findings.pick("performance", metric="threshold", attribute="").dropna(subset=["value"])
    # one line per threshold, not one per level and method that it served
    rows = rows.drop_duplicates(["task", "version", "value"])
    if rows.empty:
        return None
    records = [
        (
            findings.task_title(r.task),
            r.version,
            fixed(r.value, 4),
            r.threshold_rule or "not stated",
        )
        for r in each(rows)
    ]
    caption = (
        "A score at or above the threshold counts as 'finding present'. One threshold serves "
        "every version unless the rule says otherwise."
    )
    frame = pd.DataFrame(records, columns=["diagnosis", "version", "threshold", "rule"])
    return Table("thresholds", "Decision thresholds", caption, frame, folded=len(frame) > 15)


def has_tests(findings: Findings) -> bool:
    """Whether the tables hold any p-value or verdict about a gap."""
    return bool(
        findings.fairness["p_value"].notna().any() or (findings.fairness["verdict"] != "").any()
    )
