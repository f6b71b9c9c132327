"""A first configuration from a table and a folder of images."""

from __future__ import annotations

import pprint
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairrecon_jax.data.guess import Guess, guess, slug
from fairrecon_jax.data.mapping import is_word
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import InputError

__all__ = ["Guess", "check_called", "config_text", "guess", "write_first"]
HEADER = '''"""{title}

    fairrecon doctor --config={file}
    fairrecon study --config={file} --workdir=runs/{stem}

A first reading of {table}: correct what was read wrongly. Words that no entry explains are
refused with their names, so that nothing is guessed later.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "table"
    c.cohort.root = {root!r}
    c.cohort.image_size = {size}  # pixels; larger is finer and slower
    c.cohort.columns = {{
'''
NOTES = {
    "table": "CSV, TSV or Excel, from the root",
    "images": "folder that the names start from",
    "title": "of the cohort, in the report",
    "sheet": "of the Excel file",
    "decimal": "numbers are written with a decimal comma",
    "image": "column with the files' names",
    "patient": "column: images of one patient are never in two parts of the data",
    "modality": '"xray" or "mri"',
    "volumes": "files are cut into slices",
    "bits": "of the stored images, 8 or 16",
    "split": "column: train, val, test",
    "mask": "the region to segment",
    "degraded": "the images that were reconstructed",
    "reconstructions": "by name; files of the originals' names, or a column",
}


def check_called(names: Iterable[str]) -> None:
    """Refuses names of reconstructions that no column and no folder can have.

    Raises:
      InputError: the message tells each of them, with one that would do.

    Example:
      >>> check_called(["vendor", "v1.2"])
      Traceback (most recent call last):
      fairrecon_jax.types.InputError: --reconstructions: 'v1.2' is no name: ... e.g. v1_2=DIR
    """
    if wrong := [name for name in names if not is_word(name)]:
        free = slug(wrong[0])
        raise InputError(
            f"--reconstructions: {', '.join(map(repr, wrong))} is no name: one is a word of "
            "letters, digits, '-' and single '_' that no column of the study has, e.g. "
            f"{free if is_word(free) else 'vendor'}=DIR"
        )


def config_text(read: Guess, file: str, stored: bool = False, steps: int = 0) -> str:
    """The configuration of a study of a table, as Python with comments.

    Args:
      read: what was read.
      file: name of the file, for its own text.
      stored: whether the reconstructions come with the images, so that none is trained.
      steps: of the diagnosers' trainings; the usual ones if 0.

    Raises:
      InputError: the study that the text describes is refused.
    """
    title = "A study of stored reconstructions." if stored else "A study of a table and images."
    stem = Path(file).stem
    lines = [
        HEADER.format(
            title=title,
            file=file,
            stem=stem,
            table=read.columns["table"],
            root=str(read.root),
            size=read.size,
        ).rstrip("\n")
    ]
    for name, value in read.columns.items():
        if name in ("labels", "attributes"):
            lines += _block(name, value, read.remarks)
        else:
            note = f"  # {NOTES[name]}" if name in NOTES else ""
            lines.append(f"        {name!r}: {value!r},{note}")
    lines += [f"        # not used: {name!r}, {seen}" for name, seen in read.unused.items()]
    lines += ["    }", *_study(read, stored, steps), "    return c", ""]
    text = "\n".join(lines)
    _check(text, file)
    return text


def _block(name: str, entries: dict[str, Any], remarks: dict[str, str]) -> list[str]:
    """Labels or attributes, one entry with its remark after the other."""
    about = {
        "labels": "findings: words for positive, negative and unknown; '*' is every other word; "
        "blank is unknown",
        "attributes": "whose groups are compared: words, or numbers with cuts or quantiles",
    }
    lines = [f"        # {about[name]}", f"        {name!r}: {{"]
    for key, fields in entries.items():
        lines.append(f"            # {remarks[key]}")
        shown = pprint.pformat(fields, width=84, sort_dicts=False).splitlines()
        lines.append(f"            {key!r}: {shown[0]}" + ("," if len(shown) == 1 else ""))
        lines += [f"            {line}" for line in shown[1:-1]]
        if len(shown) > 1:
            lines.append(f"            {shown[-1]},")
    return [*lines, "        },"]


def _study(read: Guess, stored: bool, steps: int) -> list[str]:
    """Degradation, reconstructors and diagnosers."""
    lines = ["    c.splits.fractions = (0.6, 0.15, 0.25)  # train, validation, test patients", ""]
    if stored:
        blocks = {name: {"kind": "stored"} for name in read.columns["reconstructions"]}
        if "degraded" in read.columns:
            blocks["degraded"] = {"kind": "stored"}
        lines.append(f"    c.reconstructors = ConfigDict({blocks!r})")
    else:
        mri = read.columns["modality"] == "mri"
        kind, levels, what = (
            ("mri_radial", (4.0, 8.0), "acceleration factors")
            if mri
            else ("xray_low_dose", (1e5, 1e4), "photon counts")
        )
        lines += [
            f"    c.degradation.kind = {kind!r}",
            f"    c.degradation.levels = {levels!r}  # {what}",
            f"    c.degradation.headline_level = {levels[-1]!r}",
            "",
            '    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 16, "depth": 4})',
            "    c.reconstructors.unet.train = training("
            f"steps={steps or 800}, batch_size=8, learning_rate=1e-3)",
        ]
    lines.append("")
    if read.columns["labels"]:
        lines += [
            "    c.diagnosers.findings = ConfigDict(",
            '        {"kind": "classifier", "backbone": "resnet18", "hidden": (512, 256), '
            '"shift": 0.05}',
            "    )",
            "    c.diagnosers.findings.train = training("
            f"steps={steps or 250}, batch_size=16, learning_rate=3e-4)",
        ]
    if "mask" in read.columns:
        lines += [
            '    c.diagnosers.region = ConfigDict({"kind": "segmenter", "width": 16, "depth": 4})',
            "    c.diagnosers.region.train = training("
            f"steps={steps or 300}, batch_size=8, learning_rate=1e-3)",
        ]
    return lines


def _check(text: str, file: str) -> None:
    """Parses the configuration that was written.

    Raises:
      InputError: it is refused.
    """
    names: dict[str, Any] = {}
    exec(compile(text, file, "exec"), names)
    parse(names["get_config"]())


def write_first(path: str | Path, text: str) -> Path:
    """Writes a configuration where there is none.

    Raises:
      InputError: the file is there; a configuration that somebody corrected is not replaced.
    """
    target = Path(path)
    if target.exists():
        raise InputError(f"{target} is there already: give another --output, or remove it")
    write_atomic(target, text)
    return target
