"""Groups and numbers of patients: what stands for nothing, what cannot be, what looks alike."""

import numpy as np
import pytest

from fairrecon_jax.data.cells import Column
from fairrecon_jax.external.checks import Log
from fairrecon_jax.external.groups import quantity
from tests.support.foreign_tables import plain_frame, read_plain, reasons


def numbers(name, values, **fields):
    log = Log()
    found = quantity(Column(np.array([str(v) for v in values], object), name), name, fields, log)
    return found, {e["reason"]: e["count"] for e in log.entries}


def test_ages_that_cannot_be_are_unknown_as_in_the_cohorts():
    found, said = numbers("Patient Age", [50, 0, 121, 999, -1, 120, ""])
    np.testing.assert_array_equal(found, [50] + [np.nan] * 4 + [120, np.nan])
    assert said == {
        "rows without a value of Patient Age count as unknown": 1,
        "values of Patient Age that cannot be (-1, 0, 121, 999; plausible are 0 to 120) count as "
        "unknown": 4,
    }
    found, said = numbers("age", [0, 5, 19], range=["0", "18"])
    np.testing.assert_array_equal(found, [0, 5, np.nan])


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ([22.5, 30, 999], "999 in 1 rows"),
        ([22.5, 30, -9, -9], "-9 in 2 rows"),
        ([950, 980, 999], None),
        ([-12, -9, 4], None),
        ([-9, -9], None),
        ([17, 45, 26], None),
    ],
)
def test_codes_far_from_all_values_are_refused_until_somebody_says_what_they_are(values, refused):
    if refused is None:
        assert numbers("BMI", values)[0].tolist() == values
        return
    with pytest.raises(ValueError, match=refused):
        numbers("BMI", values)
    code = values[-1]
    found, said = numbers("BMI", values, missing=[code])
    assert np.isnan(found).sum() == values.count(code)
    assert list(said.values()) == [values.count(code)]
    assert f"'{code}' {values.count(code)} times" in next(iter(said))


def words(tmp_path, values, **attribute):
    table = plain_frame().assign(g=np.resize(np.array(values, object), 120))
    entry = {"g": {"column": "g", **attribute}}
    table, spec = read_plain(tmp_path, table, attributes=entry)
    return spec.attributes, reasons(table), table


@pytest.mark.parametrize("word", ["Unknown", "Patient Refused", "not reported", "n/a", "NULL", "?"])
def test_words_that_say_that_nothing_is_known_are_no_group(tmp_path, word):
    (found,), said, _ = words(tmp_path, ["a", "b", "c", word])
    assert found.groups == ("a", "b", "c")
    assert said[f"entries ('{word}' 30 times) of g count as unknown"] == 30
    (found,), said, _ = words(tmp_path, ["a", word], groups={"A": "a", "Other": word})
    assert (found.groups, said) == (("A", "Other"), {})


def test_doubtful_words_are_groups_with_a_word(tmp_path):
    (found,), said, table = words(tmp_path, ["White", "NA", "None"])
    assert (found.groups, said) == (("NA", "None", "White"), {})
    assert [note.split(" ")[0] for note in table.attrs["notes"]] == ["'NA'", "'None'"]
    (found,), said, table = words(tmp_path, ["White", "Black", "NA"], missing=["NA"])
    assert found.groups == ("Black", "White")
    assert said["entries ('NA' 40 times) of g count as unknown"] == 40
    assert table.attrs["notes"] == []


def test_groups_that_look_alike_are_named(tmp_path):
    (found,), _, table = words(tmp_path, ["white", "White", "Black"])
    assert len(found.groups) == 3
    assert "the groups 'white', 'White' of g look alike" in table.attrs["notes"][0]


def test_groups_of_the_mapping_that_no_row_has(tmp_path):
    with pytest.raises(ValueError, match=r"g.groups: no row holds 'f'; did you mean 'F'\?"):
        words(tmp_path, ["F", "M"], groups={"Female": "f", "Male": "M"})
    with pytest.raises(ValueError, match=r"names \['x', 'y'\], none of which a row holds"):
        words(tmp_path, ["F", "M"], groups={"Female": "x", "Male": "y"})
    (found,), said, _ = words(tmp_path, ["F", "M", "D"], groups={"w": "F", "m": "M", "n": "N"})
    assert found.groups == ("w", "m", "n")
    assert said["entries ('D' 40 times) of g that its groups do not name count as unknown"] == 40


@pytest.mark.parametrize(
    ("cells", "groups", "wanted"),
    [
        (["True", "False"], {"yes": "True", "no": "False"}, ("yes", "no")),
        (["True", "False"], {"yes": True, "no": False}, ("yes", "no")),
        (["1.0", "2.0"], {"a": 1, "b": 2}, ("a", "b")),
        (["1", "2"], {"a": 1.0, "b": "2.0"}, ("a", "b")),
        (["Zu\u0308rich", "Bern"], {"z": "Zürich", "b": "Bern "}, ("z", "b")),
    ],
)
def test_values_of_the_mapping_meet_those_of_the_table(tmp_path, cells, groups, wanted):
    (found,), _, table = words(tmp_path, cells, groups=groups)
    assert found.groups == wanted
    assert table["g"].notna().all()


def test_patients_in_two_forms_are_one_and_a_leak_is_seen(tmp_path):
    table = plain_frame()
    table["who"] = [str(i // 2) + ".0" * (i % 2) for i in range(120)]
    table["part"] = np.where(np.arange(120) // 2 % 2, "test", "val")
    table["sex"] = np.where(np.arange(120) // 2 % 3, "F", "M")
    found, _ = read_plain(tmp_path, table)
    assert found["patient_id"].nunique() == 60
    table["part"] = np.where(np.arange(120) % 2, "test", "val")
    with pytest.raises(ValueError, match=r"60 patients are in several splits, e.g. '0' in"):
        read_plain(tmp_path, table)
    table["who"] = ["p1\u200b", "P1", *(f"q{i}" for i in range(118))]
    with pytest.raises(ValueError, match=r"1 patient of names that look alike .* 'p1' and 'P1' in"):
        read_plain(tmp_path, table)
    table["part"] = np.where(np.arange(120) // 2 % 2, "test", "val")
    found, _ = read_plain(tmp_path, table)
    assert "patients 'p1', 'P1' look alike" in found.attrs["notes"][0]


def test_a_code_for_unknown_among_codes_of_groups_is_told(tmp_path):
    table = plain_frame()
    table["g"] = np.resize(["1", "2", "2", "1", "9"], len(table))
    with pytest.warns(UserWarning, match=r"'9' of g is taken for a group .* 'missing: \[9\]'"):
        read_plain(tmp_path, table, attributes={"g": "g"})


def test_a_number_that_equals_the_cut_is_on_the_chosen_side(tmp_path):
    frame = plain_frame()
    frame["Age"] = np.resize([61, 62, 63], len(frame))
    for side, low, high in (
        ("over", "under 62", "62 or older"),
        ("under", "62 and under", "over 62"),
    ):
        age = {"column": "Age", "cut": 62, "cut_side": side, "per": "image"}
        table, spec = read_plain(tmp_path, frame, attributes={"age": age})
        assert spec.attributes[-1].groups == (low, high)
        assert table["age"].head(3).tolist() == [low, low if side == "under" else high, high]
    with pytest.raises(ValueError, match="cut_side must be 'over' or 'under', got 'left'"):
        read_plain(tmp_path, frame, attributes={"age": {**age, "cut_side": "left"}})
