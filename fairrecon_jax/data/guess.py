"""A first reading of anybody's table and images: which column may be what, for whoever knows to
correct.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.data.decimals import signs_of
from fairrecon_jax.data.files import Finder, stem
from fairrecon_jax.data.formats import Picture, read_mask, read_picture
from fairrecon_jax.data.images import UnreadableImage
from fairrecon_jax.data.mapping import RESERVED
from fairrecon_jax.data.sheets import OF_COLUMNS
from fairrecon_jax.data.tables import NUMERIC, parse_age, text_sheet
from fairrecon_jax.data.vocabulary import PARTS, label_words, sexes
from fairrecon_jax.runtime.nothing import DOUBTFUL, is_age, is_standin, no_group, no_value
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError, meant

PATIENT = re.compile(r"patient|subject|participant|person|\bmrn\b|\bpid\b", re.IGNORECASE)
NO_NAME = re.compile(r"age|sex|gender|position|weight|size|height|date|birth", re.IGNORECASE)
FINDING = re.compile(r"finding|label|diagnos|disease|patholog|\bclass\b|impression", re.IGNORECASE)
SPLIT = re.compile(r"^(split|fold|part|partition|subset|set)$", re.IGNORECASE)
GROUPING = re.compile(
    r"race|ethnic|scanner|manufactur|vendor|site|hospital|cent(er|re)\b|language|insurance|device|"
    r"\bview\b|country",
    re.IGNORECASE,
)
MASKED = re.compile(r"mask|(^|[^a-z])(seg|roi)|contour", re.IGNORECASE)
NO_FINDING = re.compile(r"^(no (acute )?findings?|normal|none|healthy)$", re.IGNORECASE)
LOOKED_AT = 24
"""Images that are opened."""
ASKED = 200
"""Cells of a column that are looked up as files."""
FEW = 5
"""Patients below whom a word makes no finding of its own."""
MOST_GROUPS = 8
SIZES = (128, 96, 64, 32)
"""Sizes in pixels that are proposed: what two CPU cores train in minutes."""


@dataclasses.dataclass(frozen=True)
class Guess:
    """What a table and its images look like.

    Attributes:
      root: the folder that holds all of them.
      columns: the block `columns` of a configuration.
      remarks: by name of a label or attribute, what was seen.
      unused: columns that are not used, with what is in them.
      size: proposed image size in pixels.
      said: what was found, in lines for the terminal.
    """

    root: Path
    columns: dict[str, Any]
    remarks: dict[str, str]
    unused: dict[str, str]
    size: int
    said: tuple[str, ...]


def guess(
    images: str | Path,
    table: str | Path,
    masks: str = "",
    beside: Mapping[str, str] | None = None,
    modality: str = "",
    labels: Sequence[str] = (),
    attributes: Sequence[str] = (),
    sheet: str = "",
) -> Guess:
    """Looks at a table and at some of its images.

    Args:
      images: folder of the images.
      table: CSV, TSV or Excel.
      masks: folder of masks under their images' names, or a column; looked for if "".
      beside: by name ("degraded" or a reconstruction's), folder of images under the originals'
        names, or a column.
      modality: "xray" or "mri"; by the files if "".
      labels: columns that are findings, beside those that look so.
      attributes: columns of groups, beside those that look so.
      sheet: of an Excel file with several.

    Raises:
      FileNotFoundError: a folder or the table is not there.
      InputError: no column names the images, or a name is neither column nor folder.
    """
    folder, path = Path(images).resolve(), Path(table).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {images}")
    read = text_sheet(path, sheet=sheet, fields=OF_COLUMNS._replace(sheet="--sheet"))
    cells = read.frame.map(normal)
    for name in (*labels, *attributes):
        if name not in cells:
            raise InputError(
                f"{path} has no column {name!r}; it has {', '.join(map(str, cells))}"
                f"{meant(name, cells)}"
            )
    root = _root(cells, folder, path, [masks, *(beside or {}).values()])
    found = Finder(root, _below(root, folder))
    image = _image_column(cells, found, path)
    block: dict[str, Any] = {"table": _below(root, path), "images": _below(root, folder)}
    block["sheet"] = sheet
    signs = signs_of(cells)
    # numbers that Excel knows as such have a point whatever the text has
    block["decimal"] = "," if signs == {","} or ("," in signs and not read.separator) else ""
    block |= {"image": image, "title": root.name}
    block = {name: value for name, value in block.items() if value}
    patient = _patient_column(cells, image)
    if patient:
        block["patient"] = patient
    files = [file for file in (found.find(cell)[0] for cell in cells[image]) if file]
    pictures = _pictures(root, files)
    more, size = _look(pictures, modality)
    block |= more
    mask = _mask(root, folder, cells, files, masks)
    if mask:
        block["mask"] = mask
    pairs = {name: _place(root, cells, entry) for name, entry in (beside or {}).items()}
    if "degraded" in pairs:
        block["degraded"] = pairs.pop("degraded")
    if pairs:
        block["reconstructions"] = pairs
    taken = {image, patient, (mask or {}).get("column", "")}
    taken |= {one.get("column", "") for one in (*pairs.values(), block.get("degraded", {}))}
    asked = set(labels), set(attributes)
    meanings, remarks, unused = _meanings(
        cells, asked, patient, [c for c in map(str, cells.columns) if c not in taken]
    )
    block |= meanings
    if not meanings["labels"] and not mask and not pairs:
        raise InputError(
            f"no column of {path.name} looks like a finding of enough patients, and there are no "
            f"masks: name columns as labels; there are {', '.join(unused)}"
        )
    said = *read.notes, *_said(cells, path, len(files), block)
    return Guess(root, block, remarks, unused, size, said)


def _said(cells: pd.DataFrame, path: Path, files: int, block: dict[str, Any]) -> tuple[str, ...]:
    """What was found, in lines."""
    patient, mask = block.get("patient"), block.get("mask")
    return (
        f"{files} of {len(cells)} rows of {path.name} name an image, in column {block['image']!r}",
        f"patients: column {patient!r}, {cells[patient].nunique()} of them"
        if patient
        else "no column looks like patients: every image is a patient of its own",
        f"labels: {', '.join(block['labels']) or 'none found'}",
        f"attributes: {', '.join(block['attributes']) or 'none found'}",
        f"mask: {mask.get('folder') or mask['column']}" if mask else "no masks",
    )


def _root(cells: pd.DataFrame, folder: Path, path: Path, entries: Sequence[str]) -> Path:
    """The folder that holds the images, the table and all folders that are named.

    Raises:
      InputError: an entry is neither column nor folder, or they share no folder.
    """
    given = [entry for entry in entries if entry and entry not in cells]
    for entry in given:
        if not Path(entry).is_dir():
            raise InputError(f"{entry!r} is neither a column of {path.name} nor a folder")
    places = [folder, path.parent, *(Path(entry).resolve() for entry in given)]
    root = Path(os.path.commonpath(places))
    if root == Path(root.anchor):
        raise InputError(f"{', '.join(map(str, places))} share no folder: put them into one")
    return root


def _below(root: Path, path: Path) -> str:
    below = path.relative_to(root).as_posix()
    return "" if below == "." else below


def _image_column(cells: pd.DataFrame, found: Finder, path: Path) -> str:
    """The column whose cells are most often files."""
    shares = {}
    for name in cells:
        asked = [cell for cell in cells[name].unique() if cell][:ASKED]
        hits = sum(not found.find(cell)[1] for cell in asked)
        # a number may be the stem of some file by chance
        shares[name] = hits / len(asked) if asked else 0.0
    best = max(shares, key=lambda name: (shares[name], cells[name].nunique()))
    if shares[best] < 0.5:
        raise InputError(
            f"no column of {path} names the images: of the best, {best!r}, {shares[best]:.0%} are "
            "files; give the folder that the names start from, or, where a program took names for "
            "numbers and dropped zeros in front (000 became 0), export the column as text"
        )
    return str(best)


def _patient_column(cells: pd.DataFrame, image: str) -> str:
    """The column that looks like patients."""
    names = list(map(str, cells.columns))
    likely = [c for c in names if c != image and PATIENT.search(c) and not NO_NAME.search(c)]
    likely = [c for c in likely if (cells[c] != "").all()]
    # the one with "id" in its name, then the one with most names
    return max(likely, key=lambda c: ("id" in c.lower(), cells[c].nunique()), default="")


def _pictures(root: Path, files: Sequence[str]) -> list[Picture]:
    """Some of the images, spread over the table."""
    pictures = []
    for file in files[:: max(len(files) // LOOKED_AT, 1)][:LOOKED_AT]:
        try:
            pictures.append(read_picture(root / file))
        except UnreadableImage:
            continue  # the doctor names it
    if not pictures:
        raise InputError("none of the images that were looked at can be read")
    return pictures


def _look(pictures: Sequence[Picture], modality: str) -> tuple[dict[str, Any], int]:
    """Fields that follow from the images, and the size to propose."""
    volumes = any(len(picture.values) > 1 for picture in pictures)
    mri = modality == "mri" or (not modality and any(p.kind == "nifti" for p in pictures))
    side = int(np.median([min(picture.values.shape[1:]) for picture in pictures]))
    fields: dict[str, Any] = {"modality": "mri" if mri else "xray"}
    if volumes:
        fields["volumes"] = True
    fields["bits"] = 8 if all(picture.top == 255 for picture in pictures) else 16
    return fields, next((size for size in SIZES if size <= side), SIZES[-1])


def _place(root: Path, cells: pd.DataFrame, entry: str) -> dict[str, Any]:
    """Column or folder of an entry."""
    return {"column": entry} if entry in cells else {"folder": _below(root, Path(entry).resolve())}


def _mask(
    root: Path, images: Path, cells: pd.DataFrame, files: Sequence[str], given: str
) -> dict[str, Any]:
    """The masks: as given, else a folder beside the images with the same names."""
    place = _place(root, cells, given) if given else {}
    if not place:
        stems = {stem(file.rsplit("/", 1)[-1]) for file in files}
        for folder in sorted(p for p in images.parent.iterdir() if p.is_dir() and p != images):
            names = {stem(p.name) for p in folder.iterdir()}
            below = folder.is_relative_to(root)
            if below and MASKED.search(folder.name) and len(stems & names) > 0.8 * len(stems):
                place = {"folder": _below(root, folder)}
    if not place:
        return {}
    word = str(next(iter(place.values()))).rsplit("/", 1)[-1].lower()
    task = slug(re.sub(r"_?(masks?|segmentations?|segm?s?|roi)_?", "", word)) or "region"
    finder = Finder(root, place.get("folder", ""))
    asked = cells[place["column"]] if "column" in place else [f.rsplit("/", 1)[-1] for f in files]
    values: set[float] = set()
    for cell in list(asked)[:LOOKED_AT]:
        file, problem = finder.find(cell)
        if not problem:
            values |= set(np.unique(read_mask(root / file).values).tolist())
    if len(values) <= 2:
        return {"task": task, **place}
    # few whole numbers are several regions, many values a soft edge
    regions = len(values) <= MOST_GROUPS and all(value == int(value) for value in values)
    inside = sorted(int(value) for value in values if value) if regions else "half"
    return {"task": task, **place, "inside": inside}


def _meanings(
    cells: pd.DataFrame, asked: tuple[set[str], set[str]], patient: str, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """({"labels", "attributes", and "split" if there is one}, remarks, unused columns)."""
    labels: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    block: dict[str, Any] = {"labels": labels, "attributes": attributes}
    remarks, unused = {}, {}
    who = cells[patient] if patient else pd.Series(cells.index, index=cells.index)
    for name in names:
        column = cells[name]
        words = [word for word in column.unique() if word and not no_group(word)]
        lower = {word.casefold() for word in words}
        blank = int((column.map(no_group) | (column == "")).sum())
        seen = f"{len(words)} values" + (f", {blank} blank" if blank else "")
        if doubtful := [word for word in words if word.lower() in DOUBTFUL]:
            seen += f"; {' and '.join(doubtful)} may say that nothing is known"
        wanted = name in asked[0], name in asked[1]
        if (
            SPLIT.match(name)
            and not any(wanted)
            and lower
            and lower <= {w for usual in PARTS.values() for w in usual}
        ):
            block["split"] = name
        elif (sides := _sides(column)) is not None and not wanted[1]:
            task = _free(name, labels, attributes)
            labels[task], remarks[task] = {"column": name, **sides}, seen
        elif (wanted[0] or FINDING.search(name)) and words and not wanted[1]:
            found = _findings(name, column, who)
            if not found:
                unused[name] = f"{seen}, no word of {FEW} patients that {FEW} others lack"
            for task, fields, remark in found:
                task = _free(task, labels, attributes)
                labels[task], remarks[task] = fields, remark
        elif (attribute := _attribute(name, words, wanted[1])) is not None:
            key = "age" if "unit" in attribute else "sex" if _is_sex(words) else name
            key = _free(key, labels, attributes)
            attributes[key], remarks[key] = attribute, seen
        else:
            unused[name] = seen
    return block, remarks, unused


def _sides(column: pd.Series) -> dict[str, list[str]] | None:
    """What the entry of a column of yes and no declares, None of other columns."""
    # "-" says nothing, but beside "+" it says no
    plus = {"+", "-"} == {word for word in column.unique() if word}
    words = [word for word in column.unique() if word and (plus or not no_value(word))]
    return label_words(words)


def _findings(
    name: str, column: pd.Series, who: pd.Series
) -> list[tuple[str, dict[str, Any], str]]:
    """(task, fields, remark) of each frequent word of a column of findings."""
    separator = "|" if column.str.contains("|", regex=False).any() else ""
    parts = column.map(lambda cell: cell.split(separator) if separator else [cell])
    long = pd.DataFrame({"word": parts, "who": who}).explode("word")
    long["word"] = long["word"].map(normal)
    known = ~long["word"].map(lambda word: not word or no_value(word) or is_standin(word))
    codes = sorted(filter(is_standin, long["word"].unique()))
    patients = long[known].groupby("word")["who"].nunique()
    everyone = who.nunique()
    # of two words one is the finding and the other its absence: of two unknown ones the rarer
    if len(patients) == 2:
        usual = [word for word in patients.index if NO_FINDING.match(str(word))]
        other = usual[0] if usual else patients.idxmax()
        patients = patients.drop(other)
    found = []
    for word, count in patients.sort_values(ascending=False, kind="stable").items():
        if FEW <= count <= everyone - FEW and not NO_FINDING.match(str(word)):
            fields = {"column": name, "positive": [word], "negative": ["*"]}
            fields |= {"unknown": codes} if codes else {}
            fields |= {"separator": separator} if separator else {}
            found.append((str(word), fields, f"{count} of {everyone} patients"))
    return found


def _is_sex(words: Sequence[str]) -> bool:
    return bool(sexes(words)) and len(words) <= MOST_GROUPS


def _attribute(name: str, words: Sequence[str], wanted: bool) -> dict[str, Any] | None:
    """The fields of a column that looks like an attribute, or is wanted as one."""
    if _is_sex(words):
        groups = sexes(words)
        others = sorted(set(words) - {word for group in groups.values() for word in group})
        return {"column": name, "groups": groups, **({"unknown": others} if others else {})}
    if is_age(name) and words:
        strange = [w for w in words if not _numeric(w) and np.isnan(parse_age(w))]
        # NA and none are counted by themselves
        named = [word for word in strange if not no_value(word)]
        if len(strange) < len(words) / 2:
            fields: dict[str, Any] = {"column": name, "quantiles": "train median", "unit": "years"}
            return {**fields, "unknown": named} if named else fields
    if wanted and len(words) > MOST_GROUPS and all(map(_numeric, words)):
        return {"column": name, "quantiles": "train median"}
    if wanted or (GROUPING.search(name) and 1 < len(words) <= MOST_GROUPS):
        return {"column": name, "groups": [[word, [word]] for word in sorted(words)]}
    return None


def _numeric(word: str) -> bool:
    return NUMERIC.fullmatch(word) is not None


def slug(text: str) -> str:
    """A word for names of columns: small letters, digits and single "_".

    Example:
      >>> slug("COVID-19 (probable)")
      'covid_19_probable'
    """
    return "_".join(filter(None, re.split(r"[\W_]+", text.lower())))


def _free(name: str, *taken: Mapping[str, Any]) -> str:
    """A word for a name that nothing else has."""
    word = slug(name) or "column"
    used = {*RESERVED, *(other for block in taken for other in block)}
    candidates = [word, *(f"{word}_{number}" for number in range(2, 1000))]
    return next(candidate for candidate in candidates if candidate not in used)
