"""Drafted mappings work at once on tables with usual columns."""

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.external import read_table
from fairrecon_jax.external.draft import draft
from fairrecon_jax.external.mapping import load, options_of
from fairrecon_jax.study.table import write_mapping
from tests.support.foreign_tables import frame, plain_frame, saved


def drafted(tmp_path, table, name="table.csv", **how):
    if how:
        table.to_csv(tmp_path / name, index=False, **how)
    path = saved(tmp_path, table, name) if not how else tmp_path / name
    assert write_mapping(path, tmp_path / "columns.yaml") == ""
    found, spec = read_table(path, tmp_path / "columns.yaml")
    return load(tmp_path / "columns.yaml"), found, spec


def test_the_usual_columns_are_found(tmp_path):
    mapping, found, spec = drafted(tmp_path, frame().assign(note=[f"n{i}" for i in range(240)]))
    assert (mapping["patient"], mapping["example"], mapping["split"]) == ("pid", "image", "fold")
    assert mapping["tasks"] == {"y": {"label": "y", "original": "p0", "reconstructed": "p1"}}
    assert [a.name for a in spec.attributes] == ["sex", "age"]
    # "dev" rows fit the threshold
    assert "options" not in mapping
    assert "#   note: 240 values" in (tmp_path / "columns.yaml").read_text()
    assert found["split"].value_counts().to_dict() == {"test": 160, "val": 80}


def test_several_findings_percent_and_no_validation_rows(tmp_path):
    r = np.random.default_rng(0)
    table = pd.DataFrame({"PatientID": [f"{i // 2:04d}" for i in range(200)]})
    for finding in ("Edema", "Pleural Effusion"):
        y = r.integers(0, 2, 200)
        table[finding] = np.where(y, "yes", "no")
        for part in ("original", "reconstructed"):
            table[f"{finding} {part}"] = (20 + 60 * y + r.uniform(0, 20, 200)).round(1)
    table["Smoker"] = np.where(np.arange(200) // 2 % 3, "True", "False")
    mapping, found, spec = drafted(tmp_path, table, sep=";", decimal=",")
    assert mapping["tasks"]["pleural_effusion"] == {
        "label": "Pleural Effusion",
        "original": "Pleural Effusion original",
        "reconstructed": "Pleural Effusion reconstructed",
        "scale": "percent",
    }
    assert [t.name for t in spec.tasks] == ["edema", "pleural_effusion"]
    assert mapping["attributes"] == {"smoker": "Smoker"}
    assert options_of(mapping).threshold_value == 0.5
    assert found["edema__original"].max() <= 1


def test_a_label_is_told_from_an_attribute_by_the_scores(tmp_path):
    table = plain_frame().rename(columns={"y": "disease", "a": "full", "b": "recon"})
    table["smoker"] = np.arange(120) % 2
    mapping, _, _ = drafted(tmp_path, table[["smoker", *table.columns[:-1]]])
    assert mapping["tasks"]["disease"]["label"] == "disease"
    assert mapping["attributes"]["smoker"] == "smoker"


def test_decisions_and_groups_that_differ_within_a_patient(tmp_path):
    table = plain_frame()
    table["who"] = [f"p{i // 2}" for i in range(120)]
    table = table.rename(columns={"who": "patient"}).assign(a=table["a"] > 0.5, b=table["b"] > 0.5)
    table["view"] = np.where(np.arange(120) % 2, "AP", "PA")
    table["part"] = np.where(np.arange(120) // 2 % 2, "test", "val")
    table["sex"] = np.where(np.arange(120) // 2 % 3, "F", "M")
    mapping, found, _ = drafted(tmp_path, table)
    assert mapping["tasks"]["y"] == {"label": "y", "original": "a", "reconstructed": "b"}
    assert mapping["attributes"]["view"] == {"column": "view", "per": "image"}
    assert set(found["y__original"]) == {0, 1}


def test_names_are_quoted_where_yaml_needs_it(tmp_path):
    table = plain_frame().rename(columns={"sex": "Sex: m/f #1", "who": "null", "y": "是"})
    table["null"] = table["null"]
    path = saved(tmp_path, table.assign(patient=table["null"]), "t.csv")
    text, wrong = draft(path)
    assert wrong == ""
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "c.yaml")["attributes"]["sex_m_f_1"] == "Sex: m/f #1"


def test_what_is_not_found_is_said(tmp_path):
    path = saved(tmp_path, plain_frame()[["image", "sex"]], "t.csv")
    text, wrong = draft(path)
    assert "mapping 'tasks' is empty" in wrong
    assert "# The table cannot be read with it yet" in text
    assert "# finding: {label: COLUMN" in text


def test_a_mapping_is_not_written_over(tmp_path):
    path = saved(tmp_path, plain_frame(), "t.csv")
    write_mapping(path, tmp_path / "c.yaml")
    with pytest.raises(ValueError, match=r"c.yaml exists: remove it, or name another"):
        write_mapping(path, tmp_path / "c.yaml")


@pytest.mark.parametrize("separator", [";", ","])
def test_german_tables_are_drafted(tmp_path, separator):
    source = plain_frame()
    german = {"image": "Bild", "who": "Patient", "part": "Aufteilung", "age": "Alter"}
    german |= {"a": "Score_vorher", "b": "Score_nachher", "sex": "Geschlecht", "y": "Befund"}
    table = source.rename(columns=german)
    table["Befund"] = np.where(source["y"], "ja", "nein")
    table["Geschlecht"] = np.where(source["sex"] == "F", "w", "m")
    how = {"sep": separator, "decimal": ",", "encoding": "utf-8-sig"}
    mapping, found, spec = drafted(tmp_path, table, **how)
    task = mapping["tasks"]["befund"]
    assert (task["positive"], task["negative"]) == (["ja"], ["nein"])
    assert ("decimal" in mapping) == (separator == ",")
    assert [a.name for a in spec.attributes] == ["geschlecht", "alter"]
    np.testing.assert_array_equal(found["befund__label"], source["y"])
    np.testing.assert_array_equal(found["befund__original"], source["a"])


def test_labels_with_codes_and_a_sheet_by_name(tmp_path):
    source = plain_frame()
    table = source.assign(y=source["y"].astype(str))
    table.loc[:2, "y"] = ["9", "-1", "9"]
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        table.to_excel(book, sheet_name="scores", index=False)
        table.to_excel(book, sheet_name="old", index=False)
    with pytest.raises(ValueError, match="has the sheets scores, old; say which with --sheet"):
        write_mapping(tmp_path / "t.xlsx", tmp_path / "c.yaml")
    assert write_mapping(tmp_path / "t.xlsx", tmp_path / "c.yaml", "scores") == ""
    mapping = load(tmp_path / "c.yaml")
    assert (mapping["sheet"], mapping["tasks"]["y"]["unknown"]) == ("scores", ["9"])
    found, _ = read_table(tmp_path / "t.xlsx", tmp_path / "c.yaml")
    assert found["y__label"].isna().sum() == 3
