"""Names in one form, and files as tables write them."""

import os

import pytest

from fairrecon_jax.data.files import Finder, in_folder, matching, stem, walk
from fairrecon_jax.data.records import file_stamp
from fairrecon_jax.runtime.text import look_alikes, normal


@pytest.fixture
def tree(tmp_path):
    for path in ("a/p1/scan.png", "a/p2/scan.png", "a/One.PNG", "a/u\u0308ber.png", "b/x.nii.gz"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def test_names_have_one_form():
    assert normal(" Zu\u0308rich\u200b\ufeff\u00a0 1\n") == "Z\u00fcrich 1"
    assert normal("012") == "012", "no number is made of it"


@pytest.mark.parametrize(
    ("names", "same"),
    [
        (["12", "12.0", "13"], [("12", "12.0")]),
        (["012", "12"], [("012", "12")]),
        (["2.1", "2.10", "21"], []),
        (["Site A", "site-a", "site b"], [("Site A", "site-a")]),
        (["0", "00"], [("0", "00")]),
        (["a1", "a01"], []),
    ],
)
def test_names_that_read_alike(names, same):
    assert sorted(tuple(sorted(one)) for one in look_alikes(names)) == same


@pytest.mark.parametrize(
    ("under", "written", "found"),
    [
        ("a", "p1/scan.png", "a/p1/scan.png"),
        ("a", "p1\\scan.png", "a/p1/scan.png"),
        ("a", "./p2/SCAN.png", "a/p2/scan.png"),
        ("a", "one", "a/One.PNG"),
        ("a", "one.jpg", "a/One.PNG"),
        ("a", "a/One.PNG", "a/One.PNG"),
        ("", "old/place/a/p1/scan.png", "a/p1/scan.png"),
        ("a", "\u00fcber.png", "a/u\u0308ber.png"),
        ("", "x", "b/x.nii.gz"),
    ],
)
def test_files_are_found_as_tables_write_them(tree, under, written, found):
    assert Finder(tree, under).find(written) == (found, "")


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("p3/scan.png", "no file p3/scan.png"),
        ("p3/one.png", "no file p3/one.png"),
        ("scan.png", "may be a/p1/scan.png or a/p2/scan.png"),
        ("../x", "leaves the data folder"),
        ("/etc/passwd", "leaves the data folder"),
        (" ", "no file is named"),
    ],
)
def test_no_file_of_another_patient_stands_in_for_one_that_is_missing(tree, written, why):
    file, problem = Finder(tree, "a").find(written)
    assert file == ""
    assert why in problem


def test_links_are_followed_and_circles_end(tree):
    os.symlink(tree / "b", tree / "a" / "linked")
    os.symlink(tree, tree / "b" / "above")
    found = list(walk(tree))
    assert "a/linked/x.nii.gz" in found
    assert "b/x.nii.gz" in found
    assert not [path for path in found if path.count("above") > 1]


def test_a_link_out_of_the_folder_to_what_holds_it_is_not_followed(tree):
    before, stamp = list(walk(tree / "a")), file_stamp(tree / "a")
    for name, target in (("disk", "/"), ("above", tree), ("further", tree.parent)):
        os.symlink(target, tree / "a" / name)
    assert list(walk(tree / "a")) == before
    assert file_stamp(tree / "a") == stamp
    assert Finder(tree, "a").find("x.nii.gz") == ("", "no file x.nii.gz below a")


def test_patterns_in_any_capitals(tree):
    assert [p.name for p in matching(tree, "*.NII*")] == ["x.nii.gz"]
    assert [p.name for p in matching(tree, "A/*/Scan.png")] == ["scan.png", "scan.png"]
    assert [p.name for p in in_folder(tree / "a", "one.*")] == ["One.PNG"]


def test_endings():
    assert [stem(name) for name in ("a.nii.gz", "b/c.d.png", "e", ".f")] == [
        "a",
        "b/c.d",
        "e",
        ".f",
    ]
