"""The parts of the page by hand: entries, tables, numbers and files of blocks, key, notices."""

from __future__ import annotations

import pandas as pd
import pytest

from fairrecon_jax.report import build
from fairrecon_jax.report.figures import drawing
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.tables.entries import Missing
from fairrecon_jax.report.tables.table import Table
from fairrecon_jax.report.writer import BlockWriter, Placed
from tests.support.report_findings import findings_of_rows


def entry(value, label=False) -> str:
    macros = build.environment().get_template("macros.html").module
    return str(macros.entry(value, label, "head")).strip()


CELL = '<td role="cell" data-label="head"'


@pytest.mark.parametrize(
    ("value", "label", "expected"),
    [
        (
            "Edema <b>",
            True,
            '<th role="rowheader" scope="row" data-label="head">Edema &lt;b&gt;</th>',
        ),
        (0.25, False, f"{CELL}>0.250</td>"),
        (None, False, f"{CELL}>–</td>"),
        (Missing('few "x"'), False, f'{CELL} class="ne" title="few &#34;x&#34;">n.e.</td>'),
        (Missing("few"), True, f'{CELL} class="ne" title="few">n.e.</td>'),
        ("0.81 (0.79–0.83)", False, f"{CELL}>0.81<small>(0.79–0.83)</small></td>"),
        ("▼ harmed", False, f'{CELL} class="changed">▼ harmed</td>'),
        ("w" * 41, False, f'{CELL} class="words">{"w" * 41}</td>'),
        ("w" * 40, False, f"{CELL}>{'w' * 40}</td>"),
    ],
)
def test_an_entry_of_the_page(value, label, expected):
    assert entry(value, label) == expected


def page(shown: Table) -> str:
    return str(
        build.environment().get_template("macros.html").module.table(Placed("table", 3, shown))
    )


def test_a_table_of_the_page_has_number_caption_heads_and_reasons():
    frame = pd.DataFrame(
        [["x", Missing("few & small")], ["y", Missing("few & small")], ["z", Missing("none")]],
        columns=["<name>", "n"],
    )
    html = page(Table("key", "Ti<tle", "Cap>tion", frame, spans=(("by sex", 2),)))
    assert "<b>Table 3. Ti&lt;tle.</b> Cap&gt;tion" in html
    assert '<th scope="colgroup" colspan="2" class="span">by sex</th>' in html
    assert '<th role="columnheader" scope="col">&lt;name&gt;</th>' in html
    assert "n.e. = not estimable: few &amp; small (2 entries); none (1 entry)." in html
    assert 'href="tables/key.csv"' in html
    assert 'href="tables/key.tex"' in html
    assert "<details" not in html


def test_a_long_table_is_folded_and_many_reasons_are_cut():
    frame = pd.DataFrame(
        {"name": range(121), "n": [Missing(f"reason {i % 8}") for i in range(121)]}
    )
    html = page(Table("key", "Title", "Caption", frame, folded=True))
    assert "<details><summary><b>Table 3.</b> Title (121 rows)</summary>" in html
    # paper gets the first of a long table, and the words where the others are
    assert html.count('class="far"') == 81
    assert "On paper the first 40 of 121 rows" in html
    assert html.count("</details>") == 1
    assert "; 2 more reasons in the CSV." in html
    assert "far" not in page(Table("key", "Title", "Caption", frame[:40], folded=True))


def test_a_table_without_missing_entries_has_no_note():
    html = page(Table("key", "t", "c", pd.DataFrame({"a": ["x"]})))
    assert "not estimable" not in html
    assert 'class="span"' not in html


def test_blocks_are_numbered_by_their_kind_and_written_with_their_files(tmp_path):
    writer = BlockWriter(tmp_path, ReportOptions(dpi=50))
    with drawing.canvas(1.0, 2.0) as figure:
        figure.subplots().plot([0, 1])
    numbers = Table("numbers", "t", "c", pd.DataFrame({"a": [1]}))
    picture = drawing.Drawing("picture", "t", "c", "alt", figure, pd.DataFrame({"x": [0.5]}))
    placed = [writer.place(block) for block in (numbers, picture, numbers)]
    assert [(m.kind, m.number, m.width, m.height) for m in placed] == [
        ("table", 1, 0, 0),
        ("figure", 1, 192, 96),
        ("table", 2, 0, 0),
    ]
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
    assert names == {
        "tables/numbers.csv",
        "tables/numbers.tex",
        # a key that was given before: written over nothing
        "tables/numbers_2.csv",
        "tables/numbers_2.tex",
        "tables/picture.csv",
        "figures/picture.png",
        "figures/picture.pdf",
    }
    assert (tmp_path / "tables" / "picture.csv").read_text() == "x\n0.5\n"


def test_the_key_shows_each_methods_colour_and_fill_and_each_mitigations_shape():
    study = findings_of_rows(
        [
            {"metric": "psnr", "version": "reconstructed", "reconstructor": r, "mitigation": m}
            for r in ("unet", "irsde")
            for m in ("none", "eodd")
        ]
    )
    key = build.legend_key(study)
    assert [entry["name"] for entry in key["methods"]] == ["U-Net", "IR-SDE"]
    assert len({(entry["color"], entry["glyph"]) for entry in key["methods"]}) == 2
    assert [(entry["glyph"], entry["name"]) for entry in key["mitigations"]] == [
        ("●", "no mitigation"),
        ("◆", "equalised-odds loss"),
    ]


def test_notices_name_weak_diagnoses_and_several_seeds():
    gap = {
        "task": "grade",
        "attribute": "sex",
        "metric": "eodd",
        "version": "change",
        "value": 0.1,
        "p_value": 0.5,
    }
    study = findings_of_rows(
        fairness=[
            {**gap, "verdict": "at chance"},
            {**gap, "seed": 1, "task": "type", "verdict": "no difference shown"},
        ]
    )
    notes = build.notices(study, ReportOptions())
    assert any(note.startswith("Averages over 2 seeds;") for note in notes)
    assert any("for WHO grade IV: no verdict about its groups" in note for note in notes)
    assert len(notes) == 2
    assert build.notices(findings_of_rows(), ReportOptions()) == [], (
        "an empty study is told of by its sentences"
    )
