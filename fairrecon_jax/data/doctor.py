"""Reads a tree from end to end before anything is trained on it, and says what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pandas as pd

from fairrecon_jax.data.builder import CohortBuilder
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.findings import SEVERITIES, SMALL_GROUP, Finding, Findings
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import builder_of
from fairrecon_jax.data.splits import read_splits
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.types import CohortSpec, InputError


@dataclasses.dataclass(frozen=True)
class DoctorReport:
    """What the doctor found in a tree.

    Attributes:
      cohort: the builder's name.
      root: the tree.
      findings: gravest first.
      counts: one row per attribute group and task: attribute, group, task, patients, images,
        positive, negative, unknown; attribute "" is everyone.
      images: number of usable examples.
      patients: number of patients with usable examples.
    """

    cohort: str
    root: str
    findings: tuple[Finding, ...]
    counts: pd.DataFrame
    images: int
    patients: int

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def count(self, kind: str) -> int:
        """How often a kind was found."""
        return sum(finding.count for finding in self.findings if finding.kind == kind)

    def text(self) -> str:
        """The report for a terminal."""
        lines = [
            f"{self.cohort} in {self.root}: {self.images} usable images of {self.patients} patients"
        ]
        for severity in SEVERITIES:
            for finding in (f for f in self.findings if f.severity == severity):
                lines.append(
                    f"\n{severity.upper():8}{finding.kind} x {finding.count}: {finding.meaning}"
                )
                lines += [f"          {example}" for example in finding.examples]
                if finding.count > len(finding.examples):
                    lines.append(f"          ... and {finding.count - len(finding.examples)} more")
        if len(self.counts):
            lines += [
                "",
                "Patients per group and task: positive/negative/unknown (positive if one "
                "of the patient's images is)",
                _wide(self.counts),
            ]
        errors = sum(finding.severity == "error" for finding in self.findings)
        lines += [
            "",
            "No errors."
            if self.ok
            else f"{errors} {'kind' if errors == 1 else 'kinds'} of error: fix them, or train "
            "knowing what is left out.",
        ]
        return "\n".join(lines)


def _wide(counts: pd.DataFrame) -> str:
    """Counts for a terminal: one line per group and attribute, in blocks of four tasks."""
    entries = (
        counts["positive"].astype(str)
        + "/"
        + counts["negative"].astype(str)
        + "/"
        + counts["unknown"].astype(str)
    )
    who = (counts["attribute"] + " " + counts["group"]).str.strip().replace("", "all")
    long = pd.DataFrame({"group": who, "task": counts["task"], "entry": entries})
    wide = long.pivot(index="group", columns="task", values="entry").loc[
        who.unique(), counts["task"].unique()
    ]
    sizes = (
        counts.assign(group=who).drop_duplicates("group").set_index("group")[["patients", "images"]]
    )
    # four tasks to a block, so that lines do not wrap on a terminal
    blocks = [wide.iloc[:, start : start + 4] for start in range(0, wide.shape[1], 4)]
    blocks[0] = pd.concat([sizes, blocks[0]], axis=1)
    return "\n\n".join(
        block.rename_axis(None).rename_axis(None, axis=1).to_string() for block in blocks
    )


def examine(
    name: str,
    root: str | Path,
    config: CohortConfig | None = None,
    splits_path: str | Path | None = None,
    progress: bool = True,
    examples: int = 5,
) -> DoctorReport:
    """Reads every file of a tree as `prepare` would, writes nothing.

    Args:
      name: a cohort of the registry.
      root: the tree as downloaded.
      config: size, views, slices and policies; the defaults if None.
      splits_path: a splits file to check along.
      progress: show a progress bar.
      examples: how many examples a finding names.

    Returns:
      The report; a tree that cannot be read at all is a report with an error, not an exception.

    Raises:
      InputError: no such cohort, or the configuration is of another cohort.
    """
    chosen, tree = config or CohortConfig(name), Path(root)
    if chosen.name != name:
        raise InputError(f"the configuration is of {chosen.name!r}, not of {name!r}")
    builder = builder_of(chosen)
    notes, findings = Notes(), Findings(examples)
    try:
        records = builder.records(tree, chosen, notes, progress)
        findings.lists(builder.lists(tree))
    # InputError is a ValueError: what is wrong with the tree is the answer, not an error
    except (FileNotFoundError, ValueError) as error:
        findings.add("error", "table", getattr(error, "refusals", [str(error)]))
        findings.notes(notes, builder.modality)
        return DoctorReport(name, str(tree), findings.sorted(), pd.DataFrame(), 0, 0)
    read = track(records, f"examine {name}", "file", shown=progress)
    rows = [
        {"example_id": sample.example_id, "patient_id": sample.patient_id, **sample.columns}
        for sample in findings.watch(builder.samples(tree, read, chosen, notes))
    ]
    findings.images()
    if wrong := findings.masks(builder.inside):
        findings.add("error", "masks", [wrong])
    findings.notes(notes, builder.modality)
    if not rows:
        text = f"none of {len(records)} files of {tree} is usable: {notes.left_out()}"
        findings.add("error", "nothing", [text])
    if splits_path is not None:
        _check_splits(Path(splits_path), {row["patient_id"] for row in rows}, findings)
    counts = (
        _groups_and_labels(builder, pd.DataFrame(rows), chosen, findings)
        if rows
        else pd.DataFrame()
    )
    return DoctorReport(
        name,
        str(tree),
        findings.sorted(),
        counts,
        len(rows),
        len({row["patient_id"] for row in rows}),
    )


def _check_splits(path: Path, patients: set[str], findings: Findings) -> None:
    """A splits file that cannot be trusted, or that does not know the tree's patients."""
    try:
        # patients of the file that the tree lacks do no harm
        stray = patients - set(read_splits(path).patients)
    except (FileNotFoundError, ValueError) as error:
        findings.add("error", "splits", [str(error)])
        return
    findings.add(
        "error",
        "splits",
        [f"{path}: patient {patient} of the tree is in no part" for patient in sorted(stray)],
    )


def _groups_and_labels(
    builder: type[CohortBuilder], raw: pd.DataFrame, config: CohortConfig, findings: Findings
) -> pd.DataFrame:
    """Counts per group and label; notes groups and classes that are too small."""
    try:
        table, spec = builder.describe(raw, config, None)
    except ValueError as error:
        findings.add("error", "table", [str(error)])
        return pd.DataFrame()
    counts = count_groups(table, spec)
    patients = counts.drop_duplicates(["attribute", "group"]).query(
        "attribute != '' and group != 'unknown'"
    )
    small = patients[patients["patients"] < SMALL_GROUP]
    findings.add(
        "warning",
        "small_group",
        [f"{row.attribute} {row.group}: {row.patients} patients" for row in small.itertuples()],
    )
    classified = [task.name for task in spec.classification_tasks]
    # Every patient may have a tumour to segment: only a classification needs negative patients.
    lacking = (counts["positive"] == 0) | (
        (counts["negative"] == 0) & counts["task"].isin(classified)
    )
    everyone = counts[(counts["attribute"] == "") & lacking]
    findings.add(
        "warning",
        "one_class",
        [
            f"{r.task}: {r.positive} positive, {r.negative} negative patients"
            for r in everyone.itertuples()
        ],
    )
    return counts


def count_groups(table: pd.DataFrame, spec: CohortSpec) -> pd.DataFrame:
    """Patients and images of every group, and per task how many patients are positive, negative and
    unknown.

    Args:
      table: a cohort's table.
      spec: names its tasks and attributes.

    Returns:
      One row per attribute group and task (attribute and group "" = everyone, group "unknown" =
        not known); a patient is positive if one of its images is, negative if none is and one is
        known.
    """
    groups: list[tuple[str, str, pd.DataFrame]] = [("", "", table)]
    for attribute in spec.attributes:
        column = table[attribute.name].fillna("unknown")
        groups += [
            (attribute.name, group, table[column == group])
            for group in (*attribute.groups, "unknown")
            if (column == group).any()
        ]
    rows = []
    for name, group, part in groups:
        # by patient, as splits and confidence intervals are
        grouped = part.groupby("patient_id")
        for task in spec.tasks:
            # max leaves out NaN: one known image is enough
            largest = grouped[task.name].max()
            seen = Counter(
                # NaN alone differs from itself.
                "unknown" if value != value else "positive" if value > 0 else "negative"
                for value in largest
            )
            sizes = {"patients": len(largest), "images": len(part)}
            classes = {name: seen[name] for name in ("positive", "negative", "unknown")}
            rows.append({"attribute": name, "group": group, "task": task.name, **sizes, **classes})
    return pd.DataFrame(rows)
