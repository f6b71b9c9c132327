"""Names in one form, names that look alike, file names made from users' words."""

import unicodedata

import pytest

from fairrecon_jax.runtime.text import (
    Stems,
    alike,
    file_of,
    file_stem,
    look_alikes,
    normal,
)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (" F ", "F"),
        ("Zu\u0308rich", "Zürich"),
        ("\ufeffSex", "Sex"),
        ("White\u200b\u00ad", "White"),
        ("Not\u00a0 Hispanic\t x", "Not Hispanic x"),
        ("a\x00b", "ab"),
        ("\u202bעברית\u202c", "עברית"),
        # a joiner that makes another word of Persian
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("", ""),
    ],
)
def test_one_normal_form(name, wanted):
    assert normal(name) == wanted
    assert normal(normal(name)) == wanted


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("white", "White", True),
        ("F", "Ｆ", True),
        ("СТ", "CT", True),
        ("12", "012.0", True),
        ("0", "000", True),
        ("non Hispanic", "NonHispanic", True),
        ("2.1", "2.10", False),
        ("1E2", "100", False),
        ("1-11", "11-1", False),
        ("P7", "P07", False),
    ],
)
def test_what_looks_alike(one, other, same):
    assert (alike(one) == alike(other)) == same


def test_look_alikes_are_listed_once():
    assert look_alikes(["a", "b", "A", "a", "B", "c"]) == [("a", "A"), ("b", "B")]


def test_stems_keep_letters():
    assert file_stem("sex x Größe & <b>") == "sex_x_größe____b"
    assert (file_stem("性别"), file_stem("种族")) == ("性别", "种族")
    assert (file_stem("männlich"), file_stem("m_nnlich")) == ("männlich", "m_nnlich")
    assert file_stem("../..") == "unnamed"
    # vowel signs belong to their letters
    assert file_stem("लिंग") == "लिंग"
    assert file_stem("Zu\u0308rich") == unicodedata.normalize("NFC", "zürich")


def test_long_stems_are_cut_and_differ():
    one, other = file_stem("国" * 200 + "a"), file_stem("国" * 200 + "b")
    assert one != other
    assert len(f"group_change_{one}_sensitivity_positive.png".encode()) < 255


def test_files_of_one_folder_never_collide():
    stems = Stems()
    keys = ["a_b", "a_b", "A_B", "a_b_2", "ſex", "sex", "ﬁt", "fit"]
    given = [stems.of(key) for key in keys]
    # as a file system without case and with compatibility forms tells them apart
    seen = [unicodedata.normalize("NFKC", one).casefold() for one in given]
    assert len(set(seen)) == len(keys)
    assert given[:2] == ["a_b", "a_b_2"]


def test_files_of_images():
    names = [
        "a/b",
        "a__b",
        "a:b",
        "a?b",
        "a_b",
        "a/b ",
        "x" * 300,
        "x" * 301,
        "CON.",
        "..",
        "é",
        "e\u0301",
    ]
    files = [file_of(name) for name in names]
    assert len(set(files)) == len(names)
    assert files[0] == "a__b"
    assert all(0 < len(file.encode()) < 200 and not set(file) & set('/\\:*?"<>|') for file in files)
    assert not any(file.startswith(".") for file in files)
