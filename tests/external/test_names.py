"""Patients, images and groups of foreign tables whose names say nothing, or look alike."""

import numpy as np
import pytest

from fairrecon_jax.assessment import AssessOptions, assess
from tests.support.foreign_tables import plain_frame, read_plain, reasons


def with_patients(names):
    table = plain_frame()
    table.loc[: len(names) - 1, "who"] = names
    return table.assign(part=np.where(np.arange(120) < 60, "test", "valid"))


@pytest.mark.parametrize("word", ["unknown", "Missing", "#REF!", "(null)", "\\N", ".", "-", "NA"])
def test_nobody_is_a_patient_and_that_is_loud(tmp_path, word):
    found, _ = read_plain(tmp_path, with_patients([word] * 40))
    assert found["patient_id"].nunique() == 80
    reason = f"rows without a patient ({word!r} 40 times) were left out"
    assert reasons(found)[reason] == 40
    assert f"40 {reason}." in found.attrs["notes"]


def test_a_table_that_names_no_patient_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"names no patient \('unknown' 120 times\): name another"):
        read_plain(tmp_path, plain_frame().assign(who="unknown"))


@pytest.mark.parametrize("code", ["0", "-1", "999"])
def test_a_code_for_a_missing_patient_is_named(tmp_path, code):
    found, _ = read_plain(tmp_path, with_patients([code] * 40))
    (note,) = (n for n in found.attrs["notes"] if n.startswith("patient "))
    assert f"patient '{code}' has 40 images, and no other more than 1" in note
    crossing = with_patients([code] * 40).assign(part=plain_frame()["part"])
    with pytest.raises(ValueError, match=f"if '{code}' stands for a missing patient, leave"):
        read_plain(tmp_path, crossing)


def test_patients_and_images_that_look_alike_are_all_counted(tmp_path):
    names = ["P-1", "P1", "p2", "P2", "P 3", "P3", "P4\u200b", "р4"]
    found, _ = read_plain(tmp_path, with_patients(names))
    (note,) = (n for n in found.attrs["notes"] if n.startswith("patients "))
    assert note.startswith("patients 'P-1', 'P1'; 'p2', 'P2'; 'P 3', 'P3' and 1 more look alike")
    assert "count as 8 patients" in note
    crossing = with_patients(names)
    crossing.loc[[1, 3], "part"] = "valid"
    with pytest.raises(ValueError, match="2 patients of names that look alike in several splits"):
        read_plain(tmp_path, crossing)
    images = plain_frame()
    images.loc[:1, "image"] = ["img-a", "IMG A"]
    found, _ = read_plain(tmp_path, images)
    assert "images 'img-a', 'IMG A' look alike and count as 2 images" in found.attrs["notes"][0]


@pytest.mark.parametrize("word", [".", "#REF!", "(null)", "\\N", "#DIV/0!", "unbekannt"])
def test_words_of_programs_are_no_groups(tmp_path, word):
    table = plain_frame().assign(sex=np.resize(["F", "M", word], 120))
    found, spec = read_plain(tmp_path, table)
    assert spec.attributes[0].groups == ("F", "M")
    assert reasons(found)[f"entries ({word!r} 40 times) of sex count as unknown"] == 40


def test_a_number_among_groups_is_doubted(tmp_path):
    found, spec = read_plain(tmp_path, plain_frame().assign(sex=np.resize(["1", "2", "-9"], 120)))
    assert spec.attributes[0].groups == ("-9", "1", "2")
    assert "'-9' of sex is taken for a group (40 rows)" in found.attrs["notes"][0]


@pytest.mark.parametrize("name", ["ageAtScan", "age_at_exam", "PatientAge", "Alter"])
def test_columns_of_ages_are_known_by_any_name(tmp_path, name):
    table = plain_frame().rename(columns={"age": name})
    table.loc[:3, name] = 999
    found, _ = read_plain(tmp_path, table, attributes={"group": {"column": name, "cut": 60}})
    assert found["group"].isna().sum() == 4
    months = table.rename(columns={name: "age_months"}).assign(age_months=np.arange(200, 320))
    entry = {"column": "age_months", "cut": 250}
    found, _ = read_plain(tmp_path, months, attributes={"group": entry})
    assert found["group"].notna().all()


def test_a_file_has_one_decimal_sign(tmp_path):
    table = plain_frame().assign(dose=[f"1,{200 + i}" for i in range(120)])
    entry = {"dose": {"column": "dose", "cut": 1.25}}
    table.to_csv(tmp_path / "t.csv", index=False, sep=";")
    from fairrecon_jax.external import read_table
    from tests.support.foreign_tables import PLAIN_MAPPING

    mapping = {**PLAIN_MAPPING, "attributes": entry}
    with pytest.raises(ValueError, match=r"'1,200', which may be 1200 or 1\.200"):
        read_table(tmp_path / "t.csv", mapping)
    table.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    found, _ = read_table(tmp_path / "t.csv", mapping)
    assert found["dose"].value_counts().to_dict() == {"1.25 or more": 70, "under 1.25": 50}


@pytest.mark.parametrize(("decided", "scored"), [("a", "b"), ("b", "a")])
def test_decisions_of_one_version_have_no_auroc(tmp_path, decided, scored):
    source = plain_frame()
    table = source.assign(**{decided: (source[decided] > 0.5).astype(int)})
    found, spec = read_plain(tmp_path, table)
    quick = {"permutations": 19, "null_draws": 5, "auroc_gaps": True}
    options = AssessOptions(threshold_rule="fixed", threshold_value=0.5, **quick)
    performance, fairness = assess(found, spec, options)
    versions = {"a": "original", "b": "reconstructed"}
    for metric in ("auroc", "brier", "calibration_error"):
        rows = performance.query(f"metric == '{metric}' and attribute == ''").set_index("version")
        assert np.isnan(rows.loc[[versions[decided], "change"], "value"]).all()
        assert np.isfinite(rows.loc[versions[scored], "value"])
        assert f"and no scores on the {versions[decided][:5]}" in rows.loc["change", "reason"]
    assert not fairness["metric"].isin(["gap_auroc", "gap_score"]).any()
    fitted = AssessOptions(**quick)
    if decided == "a":
        with pytest.raises(ValueError, match="has no scores to be fitted on; give the threshold"):
            assess(found, spec, fitted)
    else:
        assert len(assess(found, spec, fitted)[0])


def test_plus_and_minus_are_labels(tmp_path):
    source = plain_frame()
    found, _ = read_plain(tmp_path, source.assign(y=np.array(["-", "+"])[source["y"]]))
    assert found["finding__label"].tolist() == source["y"].tolist()
