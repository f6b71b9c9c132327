"""NIH ChestX-ray14: `images*/**/<patient>_<follow-up>.png` and `Data_Entry_2017*.csv`; official
lists may be absent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from fairrecon_jax.data.builder import XRAY_LEVELS, CohortBuilder, Sample, whole_image
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.files import in_folder, inside, matching
from fairrecon_jax.data.images import load_grey
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.tables import parse_age, read_table, rows_of
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import InputError, Task

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NO_FINDING = "No Finding"
NEEDED = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
LISTS = {"train_val_list.txt": "train_val", "test_list.txt": "test"}


class NihChestxray14(CohortBuilder):
    """Frontal chest X-rays with 14 findings; `any_finding` can be asked for as one more task."""

    cohort: ClassVar[str] = "nih_chestxray14"
    title: ClassVar[str] = "NIH ChestX-ray14"
    modality: ClassVar[Any] = "xray"
    degradation = XRAY_LEVELS
    dtype: ClassVar[type] = np.uint8
    citation: ClassVar[str] = (
        "X. Wang et al., ChestX-ray8: hospital-scale chest X-ray database and benchmarks "
        "on weakly-supervised classification and "
        "localization of common thorax diseases, CVPR 2017; provided by the NIH Clinical "
        "Center, https://nihcc.app.box.com/v/ChestXray-NIHCC."
    )
    columns: ClassVar[dict[str, type]] = {
        "sex_recorded": str,
        "age_years": float,
        "view": str,
        "projection": str,
        "findings": str,
        "official_list": str,
    }
    tasks: ClassVar[tuple[Task, ...]] = tuple(
        Task(name.lower(), "classification", "none", name.replace("_", " ").capitalize())
        for name in FINDINGS
    )
    extra_tasks: ClassVar[tuple[Task, ...]] = (
        Task("any_finding", "classification", "none", "Any finding"),
    )
    attribute_names: ClassVar[tuple[str, ...]] = ("sex", "age")

    @classmethod
    def scan(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """One record per row of the table; images that no row names are noted."""
        if "frontal" not in config.views:
            raise InputError(f"{cls.cohort} holds frontal views only, views is {config.views}")
        path = _table_path(root)
        table = read_table(path, NEEDED)
        files = _files(root, notes, progress)
        official = _official(root)
        records = []
        for line, row in enumerate(
            track(rows_of(table), f"rows of {path.name}", "row", shown=progress), start=2
        ):
            record = _record(row, f"{path.name}#{line}", files, official, notes)
            if record:
                records.append(record)
        named = {normal(name).lower() for name in table["Image Index"]}
        for name in sorted(set(files) - named):
            notes.skip(files[name], "no_row", f"{path.name} does not name this image")
        return records

    @classmethod
    def load(
        cls, root: Path, record: SourceRecord, config: CohortConfig, notes: Notes
    ) -> list[Sample]:
        """Reads one X-ray as grey values (some files of the data set are RGBA)."""
        image = load_grey(root, record.files[0], notes)
        return (
            [] if image is None else whole_image(record, image, config.image_size, cls.dtype, notes)
        )

    @classmethod
    def lists(cls, root: Path) -> dict[str, set[str]]:
        """Patients of the official training and test lists, where they are."""
        official = _official(root)
        # the lists name images: the patient stands before the follow-up number
        return {
            word: {
                name.split("_")[0] for name, words in official.items() if word in words.split("|")
            }
            for word in LISTS.values()
        }

    @classmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """A finding is 1 where it is named, else 0; rows without any finding text are unknown."""
        # as sets: whole names are compared, not parts of a text
        sets = raw["findings"].map(lambda text: frozenset(text.split("|")) if text else None)
        unknown = sets.isna().to_numpy()

        def column(test: Any) -> np.ndarray:
            values = np.array([bool(names) and test(names) for names in sets], np.float32)
            return np.where(unknown, np.float32(np.nan), values)

        # name=name binds the finding of this turn
        columns = {
            name.lower(): column(lambda names, name=name: name in names) for name in FINDINGS
        }
        return {**columns, "any_finding": column(lambda names: names != {NO_FINDING})}


def _table_path(root: Path) -> Path:
    # the second release is called Data_Entry_2017_v2020.csv
    tables = in_folder(root, "Data_Entry_2017*.csv")
    if len(tables) != 1:
        raise FileNotFoundError(
            f"expected one Data_Entry_2017*.csv in {root}, found "
            f"{[path.name for path in tables] or 'none'}"
        )
    return tables[0]


def _files(root: Path, notes: Notes, progress: bool) -> dict[str, str]:
    """Images below images*/ by name in small letters; of several files of one name the first in the
    order of their paths counts.
    """
    files: dict[str, str] = {}
    for path in sorted(
        # the archives unpack to images_001/images/, images_002/images/ and so on
        track(matching(root, "images*/*.png"), "files of images*/", "file", shown=progress)
    ):
        file = path.relative_to(root).as_posix()
        # the table knows names without folders
        first = files.setdefault(path.name.lower(), file)
        # one file that is linked twice is no second image
        if first != file and not path.samefile(root / first):
            notes.skip(file, "duplicate", f"{path.name} is already there as {first}")
    return files


def _official(root: Path) -> dict[str, str]:
    """Image name -> "train_val" or "test" (both: "train_val|test") from the official lists, where
    they are.
    """
    official: dict[str, str] = {}
    for file, word in LISTS.items():
        if (root / file).is_file():
            try:
                names = (root / file).read_text(encoding="utf-8").split()
            except UnicodeDecodeError as error:
                raise InputError(f"{root / file}: not a readable list: {error}") from error
            for name in names:
                official[name] = f"{official[name]}|{word}" if name in official else word
    return official


def _record(
    row: dict[str, str], place: str, files: dict[str, str], official: dict[str, str], notes: Notes
) -> SourceRecord | None:
    name, patient = normal(row["Image Index"]), normal(row["Patient ID"])
    key = name.lower()
    # before it is looked up, so that the note says why
    if not inside(name):
        notes.skip(place, "outside_root", f"{name} leaves the data folder")
        return None
    if key not in files:
        notes.skip(name, "missing_file", f"named in {place}, not found under images*/")
        return None
    # the table leaves out the leading zeros of the file name
    if patient.lstrip("0") != name.split("_")[0].lstrip("0"):
        notes.keep(
            place,
            "conflict",
            f"image {name} belongs to another patient than Patient ID {patient!r}; the "
            "file name counts",
        )
    findings = [text.strip() for text in row["Finding Labels"].split("|") if text.strip()]
    if not findings:
        notes.keep(place, "missing_label", f"{name} has no finding labels")
    strange = [text for text in findings if text not in FINDINGS and text != NO_FINDING]
    if strange:
        notes.keep(
            place,
            "unknown_label",
            f"{name}: unknown findings {strange}; all findings of this image are unknown",
        )
    if NO_FINDING in findings and len(findings) > 1:
        notes.keep(
            place,
            "conflict",
            f"{name}: {NO_FINDING!r} together with findings; all findings of this image "
            "are unknown",
        )
    usable = not strange and (NO_FINDING not in findings or len(findings) == 1)
    columns = {
        "sex_recorded": row["Patient Gender"].strip(),
        "age_years": parse_age(row["Patient Age"]),
        "view": "frontal",
        "projection": row["View Position"].strip(),
        # "" makes all findings unknown, see `labels`
        "findings": "|".join(findings) if usable else "",
        "official_list": official.get(name, ""),
    }
    return SourceRecord(name.rsplit(".", 1)[0], name.split("_")[0], (files[key],), columns)
