import dataclasses
import os

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.data import policies
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import (
    SourceRecord,
    file_stamp,
    fingerprint,
    limit,
    note_attributes,
    table_stamps,
    unique,
)
from fairrecon_jax.types import Task


def record(name: str, patient: str, **columns) -> SourceRecord:
    return SourceRecord(
        name, patient, (f"{name}.png",), {"sex_recorded": "F", "age_years": 50.0, **columns}
    )


def noted(records: list[SourceRecord], age_per_image: bool = True) -> list[tuple[str, str]]:
    notes = Notes()
    note_attributes(records, age_per_image, notes)
    assert all(note.action == "kept" for note in notes)
    return sorted((note.kind, note.file) for note in notes)


def test_unique_keeps_the_first_and_names_the_other():
    notes = Notes()
    first, second = record("a", "p"), SourceRecord("a", "p", ("copy/a.png",), {})
    assert unique([first, second, record("b", "p")], notes) == [first, record("b", "p")]
    assert [(note.file, note.kind, note.reason) for note in notes] == [
        ("copy/a.png", "duplicate", "a is already there as a.png")
    ]


def test_limit_takes_whole_patients_whatever_the_order():
    records = [record(f"{n}/{i}", f"patient{n}") for n in range(20) for i in range(3)]
    few = limit(records, 5)
    assert len(few) == 15
    assert len({one.patient_id for one in few}) == 5
    assert {one.name for one in limit(records[::-1], 5)} == {one.name for one in few}
    assert {one.patient_id for one in few} <= {one.patient_id for one in limit(records, 6)}, (
        "more patients keep those already chosen"
    )
    assert limit(records, 0) == records
    assert limit(records, 100) == records


def test_nothing_to_note_about_complete_patients():
    assert (
        noted([record("a", "p"), record("b", "p"), record("c", "q", race_recorded="White")]) == []
    )


def test_sex_and_race_are_noted_once_per_patient():
    records = [
        record(name, patient, sex_recorded="", race_recorded="Patient Refused")
        for name, patient in (("a", "p"), ("b", "p"), ("c", "q"))
    ]
    assert noted(records) == [
        ("missing_race", "a.png"),
        ("missing_race", "c.png"),
        ("missing_sex", "a.png"),
        ("missing_sex", "c.png"),
    ]


def test_age_is_noted_per_image_or_per_patient():
    records = [record(name, "p", age_years=float("nan")) for name in "ab"]
    assert noted(records) == [("missing_age", "a.png"), ("missing_age", "b.png")]
    assert noted(records, age_per_image=False) == [("missing_age", "a.png")]


def test_conflicts_between_rows_and_with_the_demographics():
    assert noted(
        [record("a", "p"), record("b", "p", sex_recorded="M"), record("c", "p", sex_recorded="M")]
    ) == [("conflict", "b.png")]
    assert noted([record("a", "p", sex_demographics="Male")]) == [("conflict", "a.png")]
    assert noted([record("a", "p", sex_recorded="Unknown", sex_demographics="Male")]) == [], (
        "known from one of the two"
    )
    both = [
        record("a", "p", race_recorded="White"),
        record("b", "p", race_recorded="Asian", sex_recorded="M"),
    ]
    assert noted(both) == [("conflict", "b.png"), ("conflict", "b.png")], (
        "race and sex are two conflicts"
    )


def test_fingerprint_changes_with_names_values_and_file_sizes_only(tmp_path):
    records = [record(name, "p") for name in "abc"]
    for one in records:
        (tmp_path / one.files[0]).write_bytes(b"12345")
    base = fingerprint(tmp_path, records)
    assert fingerprint(tmp_path, records[::-1]) == base
    assert fingerprint(tmp_path, records[:2]) != base
    assert (
        fingerprint(
            tmp_path, [*records[:2], dataclasses.replace(records[2], columns={"sex_recorded": "M"})]
        )
        != base
    )
    assert (
        fingerprint(tmp_path, [*records[:2], dataclasses.replace(records[2], patient_id="q")])
        != base
    )
    (tmp_path / "a.png").write_bytes(b"123456")
    changed = fingerprint(tmp_path, records)
    assert changed != base
    (tmp_path / "a.png").unlink()
    assert fingerprint(tmp_path, records) not in (base, changed)


def test_fingerprint_sees_the_size_of_every_file_of_many(tmp_path):
    records = [record(f"{n:03d}", "p") for n in range(600)]
    seen = {fingerprint(tmp_path, records)}
    for n in (1, 2, 3):
        (tmp_path / records[n].files[0]).write_bytes(b"1")
        seen.add(fingerprint(tmp_path, records))
    assert len(seen) == 4


def test_stamps_see_tables_in_two_levels(tmp_path):
    (tmp_path / "inner/deep").mkdir(parents=True)
    for name in ("a.csv", "inner/b.xlsx", "list.txt", "inner/deep/c.csv", "x.png"):
        (tmp_path / name).write_text("x")
    stamps = table_stamps(tmp_path)
    assert sorted(stamps) == ["a.csv", "inner/b.xlsx", "list.txt"]
    os.utime(tmp_path / "a.csv", (5, 5))
    assert table_stamps(tmp_path)["a.csv"] == [1, 5 * 10**9]
    assert table_stamps(tmp_path)["list.txt"] == stamps["list.txt"]


def test_file_stamp_sees_every_file_also_behind_links(tmp_path):
    (tmp_path / "tree/inner").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tree/inner/a.png").write_bytes(b"123")
    (tmp_path / "tree/archive").symlink_to(tmp_path / "elsewhere")
    assert file_stamp(tmp_path / "tree") == [1, 3]
    (tmp_path / "elsewhere/b.png").write_bytes(b"12345")
    assert file_stamp(tmp_path / "tree") == [2, 8]
    (tmp_path / "tree/inner/broken").symlink_to(tmp_path / "nowhere")
    assert file_stamp(tmp_path / "tree") == [3, 7]


def test_file_stamp_counts_each_folder_once_however_many_links_lead_to_it(tmp_path):
    (tmp_path / "tree/inner").mkdir(parents=True)
    (tmp_path / "tree/inner/a.png").write_bytes(b"123")
    (tmp_path / "tree/inner/back").symlink_to(tmp_path / "tree")
    assert file_stamp(tmp_path / "tree") == [1, 3]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.png").write_bytes(b"12345")
    for name in ("other", "again"):
        (tmp_path / "tree" / name).symlink_to(tmp_path / "elsewhere")
    assert file_stamp(tmp_path / "tree") == [2, 8]


def test_tasks_and_attributes_are_chosen_in_the_order_asked_for():
    tasks, extra = (
        (Task("a", "classification"), Task("b", "classification")),
        (Task("c", "classification"),),
    )
    assert policies.choose_tasks("toy", tasks, extra, CohortConfig("toy")) == tasks
    assert [
        task.name
        for task in policies.choose_tasks(
            "toy", tasks, extra, CohortConfig("toy", tasks=("c", "a"))
        )
    ] == ["c", "a"]
    with pytest.raises(ValueError, match="toy has no task d; it has a, b, c"):
        policies.choose_tasks("toy", tasks, extra, CohortConfig("toy", tasks=("d",)))
    raw = pd.DataFrame({"race_recorded": ["", "Unknown"]})
    names = ("sex", "age", "race")
    assert policies.choose_attributes("toy", names, CohortConfig("toy"), raw) == ("sex", "age")
    assert (
        policies.choose_attributes(
            "toy", names, CohortConfig("toy"), raw.assign(race_recorded="White")
        )
        == names
    )
    assert policies.choose_attributes(
        "toy", names, CohortConfig("toy", attributes=("age",)), raw
    ) == ("age",)
    with pytest.raises(ValueError, match="toy has no attribute height"):
        policies.choose_attributes("toy", names, CohortConfig("toy", attributes=("height",)), raw)


def test_age_attribute_follows_configuration_then_default():
    raw = pd.DataFrame({"patient_id": list("abcd"), "age_years": [20.0, 40.0, 60.0, 80.0]})
    for config, default, rows, groups, word in [
        (CohortConfig("x", age_cut=33), 62.0, None, "under 33", "given"),
        (CohortConfig("x"), 62.0, None, "under 62", "given"),
        (CohortConfig("x", age_cut=[30, 70]), 62.0, None, "under 30", "given"),
        (CohortConfig("x", age_cut="train tertiles"), 62.0, None, "under 40", "provisional"),
        (CohortConfig("x"), "train median", None, "under 50", "provisional"),
        (
            CohortConfig("x", age_cut="train median"),
            62.0,
            np.array([0, 1]),
            "under 30",
            "training patients",
        ),
    ]:
        _, attribute = policies.attribute_column("age", raw, config, default, rows)
        assert attribute.groups[0] == groups
        assert word in attribute.derivation
