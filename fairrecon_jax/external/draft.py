"""A mapping drafted from a table's columns: what their names and cells make likely, to be read and
corrected by the one who knows.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fairrecon_jax.data.cells import Column, codes, names, numbers, unpadded
from fairrecon_jax.data.decimals import signs_of
from fairrecon_jax.data.sheets import OF_MAPPING, read_sheet
from fairrecon_jax.data.vocabulary import PARTS, label_words, no_label, yes_and_no
from fairrecon_jax.external.columns import SPLITS
from fairrecon_jax.external.mapping import METRICS, RESERVED
from fairrecon_jax.external.read import read_table
from fairrecon_jax.runtime.nothing import COMPOUND, is_age, no_value
from fairrecon_jax.types import InputError

PLACES = {
    "patient": r"patient|pid|subject|person|participant|mrn|case_?id|\bpat[ _]?(id|nr)|proband",
    "example": r"image|img|example|file|path|sop|accession|slice|exam|scan_?id|^id$|bild|datei|"
    r"aufnahme|fichier|imagen|archivo",
    "split": r"split|fold|subset|partition|^set$|^part$",
    "reconstructor": r"model|method|reconstructor|network|algorithm",
    "level": r"level|accel|photons|dose$",
}
"""What columns are called, in small letters."""
AFTER = (
    r"recon(?:structed|struction)?|rec|after|post|degraded|undersampled|fast|lowdose|1|b|"
    r"rekon\w*|nachher|reconstr\w*|apr[eè]s"
)
BEFORE = (
    r"orig(?:inal\w*)?s?|full|before|pre|reference|ref|clean|class|baseline|0|a|vorher|avant|voll"
)
MOST_GROUPS = 12
"""Values of a column that is taken for an attribute."""


class Seen(NamedTuple):
    """What a column holds.

    Attributes:
      column: its cells.
      words: distinct entries in small letters, without those that stand for nothing.
      spelt: the same as they are written.
      kind: "label" (two of the words for a label), "score" (numbers in [0, 1], also percent),
        "percent" (0 to 100), "logit", "number", "words" or "" (blank).
      distinct: number of distinct entries.
    """

    column: Column
    words: list[str]
    spelt: list[str]
    kind: str
    distinct: int


def draft(path: str | os.PathLike[str], sheet: str = "") -> tuple[str, str]:
    """A mapping for a table, as YAML with comments, and what is wrong with it.

    Args:
      path: see `read_table`.
      sheet: of an Excel file with several.

    Returns:
      (the text, "" or why the table cannot be read with it yet).

    Raises:
      FileNotFoundError: there is no such file.
      InputError: the file cannot be read.
    """
    source = Path(path)
    found = read_sheet(source, sheet=sheet, fields=OF_MAPPING._replace(sheet="--sheet"))
    # where cells are separated by commas, or by nothing, a decimal one has to be declared
    signs = signs_of(found.frame)
    comma = signs == {","} and found.separator in ("", ",")
    form = "," if comma else "", found.separator, lambda: signs
    seen = {
        str(name): _seen(Column(found.frame.iloc[:, i].to_numpy(), str(name), *form))
        for i, name in enumerate(found.frame.columns)
        if name and list(found.frame.columns).count(name) == 1
    }
    mapping = _mapping(source.stem, seen)
    mapping |= {"sheet": sheet} if sheet else {}
    mapping |= {"decimal": ","} if comma else {}
    wrong = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_table(source, mapping)
    except InputError as error:
        wrong = str(error).removeprefix(f"{source}: ")
    return _text(source, mapping, seen, wrong), wrong


def _seen(column: Column) -> Seen:
    """What a column holds."""
    _, texts = codes(column)
    # "-" says nothing, but beside "+" it says no
    plus = {"+", "-"} == set(texts)
    spelt = sorted({unpadded(text) for text in texts if plus or not no_value(text)})
    words = sorted({text.lower() for text in spelt})
    count = len(texts)
    if not words:
        return Seen(column, words, spelt, "", count)
    if label_words(spelt) is not None:
        return Seen(column, words, spelt, "label", count)
    try:
        found = numbers(column)
    except InputError:
        return Seen(column, words, spelt, "words", count)
    known = found.values[np.isfinite(found.values)]
    low, high = known.min(initial=0), known.max(initial=0)
    broken = bool((known != np.round(known)).any())
    kind = "number"
    if low >= 0 and high <= 1 and (broken or found.percent):
        kind = "score"
    elif broken and low >= 0 and high <= 100:
        kind = "percent"
    elif broken and low < 0 < high:
        kind = "logit"
    return Seen(column, words, spelt, kind, count)


def _mapping(stem: str, seen: dict[str, Seen]) -> dict[str, Any]:
    """The likely mapping."""
    mapping: dict[str, Any] = {"name": stem, "title": stem}
    rows = len(next(iter(seen.values())).column.values) if seen else 0
    free = dict(seen)
    tasks = _tasks(seen)
    for task in tasks.values():
        for part in ("label", "original", "reconstructed"):
            free.pop(task.get(part, ""), None)
    for place, pattern in PLACES.items():
        likely = [n for n in free if re.search(pattern, n.lower()) and _fits(place, free[n], rows)]
        # of images and patients the one that tells most rows apart
        best = sorted(likely, key=lambda n: -free[n].distinct * (place == "example"))
        if best:
            mapping[place] = best[0]
            del free[best[0]]
    if "split" not in mapping:
        usual = {word for words in PARTS.values() for word in words}
        split = next((n for n, one in free.items() if set(one.words) <= usual and one.words), None)
        if split is not None:
            mapping["split"] = split
            del free[split]
    if "reconstructor" not in mapping:
        mapping["reconstructor"] = {"value": "reconstruction"}
    if "level" in mapping:
        mapping["modality"] = "mri" if "acc" in mapping["level"].lower() else "xray"
    mapping["tasks"] = tasks
    metrics = {m: n for n in free for m in METRICS if n.lower() == m}
    if renamed := {m: n for m, n in metrics.items() if m != n}:
        mapping["image_metrics"] = renamed
    free = {name: one for name, one in free.items() if name not in metrics.values()}
    mapping["attributes"] = _attributes(free, mapping, seen)
    if not _has_validation(mapping, seen) or any("original" not in t for t in tasks.values()):
        mapping["options"] = {"threshold_rule": "fixed", "threshold_value": 0.5}
    return mapping


def _fits(place: str, one: Seen, rows: int) -> bool:
    """Whether cells of a column may be what its name says."""
    if place == "level":
        return one.kind in ("number", "percent", "score") and one.distinct <= MOST_GROUPS
    if place == "reconstructor":
        return one.kind == "words" and one.distinct <= MOST_GROUPS
    if place == "split":
        return one.distinct <= MOST_GROUPS
    return one.distinct > min(rows, MOST_GROUPS) or one.distinct == rows


def _has_validation(mapping: dict[str, Any], seen: dict[str, Seen]) -> bool:
    return "split" in mapping and bool(set(seen[mapping["split"]].words) & set(SPLITS["val"]))


def _bare(name: str, tokens: str) -> str | None:
    """A name without the word for one version, None where it has none."""
    spelt = COMPOUND.sub("_", name).lower()
    parts = [part for part in re.split(r"[\W_]+|(?<=[a-z])(?=\d)", spelt) if part]
    rest = [part for part in parts if not re.fullmatch(tokens, part)]
    return None if len(rest) == len(parts) else "_".join(rest)


def _tasks(seen: dict[str, Seen]) -> dict[str, dict[str, Any]]:
    """Tasks by name: a label with the scores whose names fit."""
    labels = [name for name, one in seen.items() if one.kind == "label"]
    scores = [n for n, one in seen.items() if one.kind in ("score", "percent", "logit")]
    if not scores:
        # decisions, which look as labels do
        scores = [n for n in labels if {_bare(n, AFTER), _bare(n, BEFORE)} != {None}]
        labels = [n for n in labels if n not in scores]
    after = {name: bare for name in scores if (bare := _bare(name, AFTER)) is not None}
    found: dict[str, dict[str, Any]] = {}
    for name, bare in after.items():
        before = next((n for n in scores if n not in after and _bare(n, BEFORE) == bare), None)
        label = _label(labels, bare) or _follows(seen, labels, name)
        if label:
            parts = {"label": label, "original": before, "reconstructed": name}
            found.setdefault(_key(label), {k: v for k, v in parts.items() if v is not None})
    if not found and labels and len(scores) == 2:
        label = _label(labels, "") or _follows(seen, labels, scores[0])
        found[_key(label)] = dict(zip(("label", "original", "reconstructed"), (label, *scores)))
    for task in found.values():
        kinds = {seen[task[v]].kind for v in ("original", "reconstructed") if v in task}
        if scale := kinds & {"percent", "logit"}:
            task["scale"] = "logit" if "logit" in scale else "percent"
        # -1 is no label wherever nothing else is said
        task |= label_words(word for word in seen[task["label"]].spelt if word != "-1") or {}
    return found


def _label(labels: list[str], bare: str) -> str:
    """The label whose name the scores carry, "" for none; one that is alone belongs to all."""
    words = set(bare.split("_"))
    named = [n for n in labels if words & set(re.split(r"[\W_]+", n.lower())) - {"label", "y", ""}]
    truths = [n for n in labels if re.fullmatch(r"y|label|truth|target|gt|y_?true", n.lower())]
    return next(iter(named or truths or (labels if len(labels) == 1 else [])), "")


def _follows(seen: dict[str, Seen], labels: list[str], score: str) -> str:
    """The label that goes with a score most, "" where there is none."""
    values = numbers(seen[score].column).values
    strength = {}
    for name in labels:
        code, texts = codes(seen[name].column)
        positive, _ = yes_and_no(w for w in seen[name].spelt if not no_label(w)) or ([], [])
        yes = np.array([unpadded(text) in positive for text in texts] + [False])[code]
        known = np.isfinite(values) & (code >= 0)
        varies = len(set(yes[known])) == 2 and values[known].std() > 0
        pair = np.corrcoef(yes[known], values[known]) if varies else np.zeros((2, 2))
        strength[name] = float(pair[0, 1])
    return max(strength, key=strength.__getitem__, default="")


def _key(label: str) -> str:
    """A column's name as the name of a task or an attribute."""
    spelt = COMPOUND.sub("_", label).lower()
    key = re.sub(r"_{2,}", "_", re.sub(r"\W+", "_", spelt)).strip("_") or "finding"
    return f"{key}_of_table" if key in RESERVED else key


def _attributes(
    free: dict[str, Seen], mapping: dict[str, Any], seen: dict[str, Seen]
) -> dict[str, Any]:
    """Attributes: columns with few words, and ages."""
    found: dict[str, Any] = {}
    for name, one in free.items():
        fields: dict[str, Any] = {"column": name}
        numeric = one.kind in ("number", "percent", "score")
        if numeric and is_age(name):
            values = numbers(one.column).values
            middle = np.nanmedian(values[(values > 0) & (values <= 120)])
            fields["cut"] = float(np.round(middle))
        elif not 2 <= one.distinct <= MOST_GROUPS or one.kind in ("score", "percent", "logit"):
            continue
        if _differs(one, mapping, seen):
            fields["per"] = "image"
        key = _key(name)
        taken = key in found or key in mapping["tasks"]
        found[f"{key}_group" if taken else key] = fields if len(fields) > 1 else name
    return found


def _differs(one: Seen, mapping: dict[str, Any], seen: dict[str, Seen]) -> bool:
    """Whether a column differs between the images of a patient."""
    if "patient" not in mapping:
        return False
    try:
        patients = names(seen[mapping["patient"]].column, identifiers=True)
    except InputError:
        return False
    return bool((names(one.column).groupby(patients).nunique() > 1).any())


COMMENTS = {
    "name": "of files and tables",
    "title": "of the cohort in the report",
    "patient": "column: who is who; rows of one patient are not independent",
    "example": "column: the image's name",
    "split": 'column with "val" rows (they fit the threshold) and "test" rows (they are judged)',
    "reconstructor": "what the report calls the method, or the column that names several",
    "level": "column: the degradation's level",
    "modality": "mri: levels are acceleration factors; xray: photon counts",
    "image_metrics": "columns of image metrics",
    "sheet": "of the Excel file",
    "decimal": "numbers are written with a decimal comma",
    "options": 'no "val" rows or no original scores: decisions are score >= threshold_value',
}


def _text(source: Path, mapping: dict[str, Any], seen: dict[str, Seen], wrong: str) -> str:
    """The mapping as YAML with comments."""
    lines = [
        f"# Mapping of {source.name}, drafted from its columns: read it and correct it.",
        "# `fairrecon assess --help` lists all keys.",
    ]
    if wrong:
        lines.append(f"# The table cannot be read with it yet: {' '.join(wrong.split())}")
    for key, value in mapping.items():
        if key in ("tasks", "attributes"):
            lines += _entries(key, value, seen)
            continue
        if key == "options":
            lines.append("")
        lines.append(f"{key}: {_scalar(value)}".ljust(32) + f"  # {COMMENTS[key]}")
    if "patient" not in mapping:
        lines.append("# patient:  no column of patients was found: every row counts as one")
    used = json.dumps(mapping, ensure_ascii=False)
    idle = [f"#   {n}: {_sample(one)}" for n, one in seen.items() if json_name(n) not in used]
    lines += ["", "# Columns that nothing uses:", *idle] if idle else []
    return "\n".join(lines) + "\n"


def json_name(name: str) -> str:
    """A name in quotation marks, which YAML reads as JSON does."""
    return json.dumps(name, ensure_ascii=False)


def _entries(key: str, value: dict[str, Any], seen: dict[str, Seen]) -> list[str]:
    """Tasks or attributes, one a line, each with what its column holds."""
    if not value:
        hint = {
            "tasks": "# finding: {label: COLUMN, original: COLUMN, reconstructed: COLUMN}",
            "attributes": "# sex: COLUMN",
        }[key]
        return ["", f"{key}: {{}}", f"  {hint}"]
    lines = ["", f"{key}:"]
    for name, fields in value.items():
        column = fields if isinstance(fields, str) else fields.get("column", fields.get("label"))
        lines.append(f"  # {_sample(seen[column])}")
        lines.append(f"  {_scalar(name)}: {_scalar(fields)}")
    return lines


def _scalar(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_scalar(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    plain = re.fullmatch(r"\w[\w .()-]*", value) and value == value.strip()
    return value if plain and value.lower() != "null" else json_name(value)


def _sample(one: Seen) -> str:
    """Some of a column's entries."""
    _, texts = codes(one.column)
    shown = ", ".join(json_name(text[:30]) for text in texts[:4])
    more = ", ..." if len(texts) > 4 else ""
    return f"{one.distinct} values, {shown}{more}" if texts else "blank"
