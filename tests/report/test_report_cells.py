"""Tables of the report character by character: LaTeX, CSV, the cells of the page, counts and spans
by hand.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import build, summary
from fairrecon_jax.report.figures import comparison, drawing, gaps, groups
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.select import NUMBERS, TEXT, Findings
from fairrecon_jax.report.tables import record, sheets, table
from fairrecon_jax.report.tables.table import Missing, Table
from tests.support import report_fake as fake

NAN = float("nan")


def study(performance=(), fairness=(), spec=None) -> Findings:
    """Findings of rows given as partial dictionaries at the brain study's headline level."""
    base = {
        "cohort": "ucsf_pdgm",
        "reconstructor": "unet",
        "level": 8.0,
        "mitigation": "none",
        "seed": 0,
        "convention": "worst_case_estimable",
    }

    def table(rows) -> pd.DataFrame:
        return pd.DataFrame(
            [fake._row(**{**base, **row}) for row in rows], columns=[*TEXT, *NUMBERS]
        )

    return Findings.of(spec or fake.mri_spec(), table(performance), table(fairness))


# -- LaTeX and CSV
# ---------------------------------------------------------------------------------------------------------------


def test_a_latex_table_by_hand():
    frame = pd.DataFrame(
        [["a_b", 0.5, Missing("few")], ["c", 1200, None]], columns=["name", "50 %", "n"]
    )
    made = table.latex(Table("key", "A & B", "100 %\n of  it", frame, spans=(("", 1), ("8×", 2))))
    assert made == "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\caption{A \& B. 100 \% of it}",
            r"\label{tab:key}",
            r"\begin{tabular}{lrr}",
            r"\toprule",
            r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{8$\times$} \\",
            r"name & 50 \% & n \\",
            r"\midrule",
            r"a\_b & 0.500 & n.e. \\",
            r"c & 1,200 & -- \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


@pytest.mark.parametrize(("labels", "layout"), [(1, "lrr"), (2, "llr"), (3, "lll")])
def test_row_labels_stand_left_and_numbers_right(labels, layout):
    sheet = Table("k", "t", "c", pd.DataFrame([[1, 2, 3]], columns=["a", "b", "c"]), labels=labels)
    assert rf"\begin{{tabular}}{{{layout}}}" in table.latex(sheet)
    assert "multicolumn" not in table.latex(sheet)


def test_a_latex_table_without_rows_is_its_head():
    lines = table.latex(Table("k", "t", "c", pd.DataFrame(columns=["a", "b"]))).splitlines()
    assert lines[lines.index(r"\midrule") + 1] == r"\bottomrule"


@pytest.mark.parametrize("sign", list("−–×≥≤→▲▼⇄◆Δ↑↓"))
def test_every_sign_of_the_report_has_a_latex_command(sign):
    made = table.escape_latex(sign)
    assert made.isascii()
    assert made == "--" if sign == "–" else made.startswith("$")


def test_a_backslash_is_escaped_once_and_braces_of_its_command_stay():
    assert table.escape_latex("\\{}") == r"\textbackslash{}\{\}"


def test_csv_by_hand():
    frame = pd.DataFrame(
        [["a, b", 0.5, Missing("few, very")], ['say "x"', 2, Missing()]],
        columns=["name", "50 %", "n"],
    )
    assert table.csv(frame) == 'name,50 %,n\n"a, b",0.5,"n.e. (few, very)"\n"say ""x""",2.0,n.e.\n'


def test_missing_cells_of_repeated_columns_are_all_counted():
    frame = pd.DataFrame(
        [[Missing("few"), Missing("few")], [1, Missing("none")]], columns=pd.Index(["x", "x"])
    )
    assert Table("k", "t", "c", frame).reasons() == [("few", 2), ("none", 1)]
    assert Table("k", "t", "c", frame[:0]).reasons() == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0.8149, 0.79, 0.8351, 3), "0.815 (0.790–0.835)"),
        ((-0.5, -0.6, -0.4, 1), "−0.5 (−0.6 to −0.4)"),
        ((0.5, 0.4, float("inf"), 1), "0.5"),
        ((float("inf"), 0.4, 0.6, 1, "few"), Missing("few")),
    ],
)
def test_intervals_by_hand(given, expected):
    assert table.with_interval(*given) == expected


# -- the page
# --------------------------------------------------------------------------------------------------------------------


def cell(value, label=False) -> str:
    macros = build.environment().get_template("macros.html").module
    return str(macros.cell(value, label)).strip()


@pytest.mark.parametrize(
    ("value", "label", "expected"),
    [
        ("Edema <b>", True, '<th scope="row">Edema &lt;b&gt;</th>'),
        (0.25, False, "<td>0.250</td>"),
        (None, False, "<td>–</td>"),
        (Missing('few "x"'), False, '<td class="ne" title="few &#34;x&#34;">n.e.</td>'),
        (Missing("few"), True, '<td class="ne" title="few">n.e.</td>'),
        ("0.81 (0.79–0.83)", False, "<td>0.81<small>(0.79–0.83)</small></td>"),
        ("▲ widened", False, '<td class="changed">▲ widened</td>'),
        ("w" * 41, False, f'<td class="words">{"w" * 41}</td>'),
        ("w" * 40, False, f"<td>{'w' * 40}</td>"),
    ],
)
def test_a_cell_of_the_page(value, label, expected):
    assert cell(value, label) == expected


def page(sheet: Table) -> str:
    return str(
        build.environment()
        .get_template("macros.html")
        .module.sheet(build.Placed("table", 3, sheet))
    )


def test_a_table_of_the_page_has_number_caption_heads_and_reasons():
    frame = pd.DataFrame(
        [["x", Missing("few & small")], ["y", Missing("few & small")], ["z", Missing("none")]],
        columns=["<name>", "n"],
    )
    made = page(Table("key", "Ti<tle", "Cap>tion", frame, spans=(("by sex", 2),)))
    assert "<b>Table 3. Ti&lt;tle.</b> Cap&gt;tion" in made
    assert '<th scope="colgroup" colspan="2" class="span">by sex</th>' in made
    assert '<th scope="col">&lt;name&gt;</th>' in made
    assert "n.e. = not estimable: few &amp; small (2 cells); none (1 cell)." in made
    assert 'href="tables/key.csv"' in made
    assert 'href="tables/key.tex"' in made
    assert "<details" not in made


def test_a_long_table_is_folded_and_many_reasons_are_cut():
    frame = pd.DataFrame(
        {"name": range(121), "n": [Missing(f"reason {i % 8}") for i in range(121)]}
    )
    made = page(Table("key", "Title", "Caption", frame, folded=True))
    assert '<details class="long"><summary><b>Table 3.</b> Title (121 rows)</summary>' in made
    assert made.count("</details>") == 1
    assert "; 2 more reasons in the CSV." in made
    assert 'class="long"' not in page(Table("key", "Title", "Caption", frame[:120], folded=True))


def test_a_table_without_missing_cells_has_no_note():
    made = page(Table("key", "t", "c", pd.DataFrame({"a": ["x"]})))
    assert "not estimable" not in made
    assert 'class="span"' not in made


def test_blocks_are_numbered_by_their_kind_and_written_with_their_files(tmp_path):
    place = build.block_writer(tmp_path, ReportOptions(dpi=50), set())
    with drawing.canvas(1.0, 2.0) as figure:
        figure.subplots().plot([0, 1])
    sheet = Table("numbers", "t", "c", pd.DataFrame({"a": [1]}))
    picture = drawing.Drawing("picture", "t", "c", "alt", figure, pd.DataFrame({"x": [0.5]}))
    made = [place(block) for block in (sheet, picture, sheet)]
    assert [(m.kind, m.number, m.width, m.height) for m in made] == [
        ("table", 1, 0, 0),
        ("figure", 1, 192, 96),
        ("table", 2, 0, 0),
    ]
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
    assert names == {
        "tables/numbers.csv",
        "tables/numbers.tex",
        "tables/picture.csv",
        "figures/picture.png",
        "figures/picture.pdf",
    }
    assert (tmp_path / "tables" / "picture.csv").read_text() == "x\n0.5\n"


def test_the_key_shows_each_methods_colour_and_fill_and_each_mitigations_shape():
    found = study(
        [
            {"metric": "psnr", "version": "reconstructed", "reconstructor": r, "mitigation": m}
            for r in ("unet", "irsde")
            for m in ("none", "eodd")
        ]
    )
    key = build.legend_key(found)
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
    found = study(
        fairness=[
            {**gap, "verdict": "at chance"},
            {**gap, "seed": 1, "task": "type", "verdict": "within chance"},
        ]
    )
    notes = build.notices(found, ReportOptions())
    assert any(note.startswith("Averages over 2 seeds;") for note in notes)
    assert any("for WHO grade IV: no verdict about its gaps" in note for note in notes)
    assert len(notes) == 2
    assert build.notices(study(), ReportOptions()) == [], (
        "an empty study is told of by its sentences"
    )


# -- sheets and sentences from few rows
# ------------------------------------------------------------------------------------------


def change(task: str, percent: float, verdict: str, **more) -> dict:
    metric = "ser" if task == "tumour" else "eodd"
    moved = {"change": percent / 100, "value": percent / 100, "percent": percent, "unit": "patient"}
    return {
        "task": task,
        "attribute": "sex",
        "metric": metric,
        "version": "change",
        "verdict": verdict,
        **moved,
        **more,
    }


def test_medians_and_verdicts_of_a_method_by_hand():
    rows = [
        change("grade", 10.0, "widened"),
        change("type", -30.0, "reversed"),
        change("tumour", 4.0, "within chance"),
    ]
    rows += [
        change("grade", NAN, "not estimable", attribute="age"),
        change("type", -6.0, "shifted", attribute="age"),
    ]
    frame = sheets.median_changes(study(fairness=rows)).frame
    assert frame.iloc[0].tolist() == ["U-Net", "−1.0", "8.0", 5, 1, 0, 2, 1, 1]


def test_no_estimated_change_is_a_missing_median():
    frame = sheets.median_changes(study(fairness=[change("grade", NAN, "not estimable")])).frame
    assert frame.iloc[0, 1:3].tolist() == [Missing("no change could be estimated")] * 2
    assert frame.iloc[0, 3:].tolist() == [1, 0, 0, 0, 0, 1]


def test_the_mean_score_is_over_tasks_that_both_have():
    index = pd.MultiIndex.from_tuples(
        [("unet", "none", t) for t in "abc"]
        + [("unet", "eodd", t) for t in "bcd"]
        + [("gan", "eodd", "a")]
    )
    scores = pd.Series([0.1, 0.6, 0.8, 0.5, 0.9, 0.0, 0.0], index)
    assert sheets.shared_mean(scores, "unet", "eodd") == pytest.approx((0.7, 0.7))
    assert np.isnan(sheets.shared_mean(scores, "gan", "eodd")).all()


def test_a_gap_of_image_quality_without_floor_and_test_says_so():
    row = {
        "metric": "gap_ssim",
        "attribute": "sex",
        "version": "reconstructed",
        "unit": "image",
        "value": 0.0123,
        "ci_low": 0.01,
    }
    frame = sheets.image_gaps(study(fairness=[row])).frame
    assert frame.iloc[0].tolist()[3:] == [
        "U-Net",
        "0.012",
        Missing("no null was computed"),
        Missing("no test was run"),
    ]


@pytest.mark.parametrize(
    ("stratum", "verdict", "where"),
    [
        ("positive", "widened", "Female, patients with the finding"),
        ("", "reversed", "Female"),
        ("positive", "within chance", ""),
    ],
)
def test_the_list_of_verdicts_says_where_only_what_changed(stratum, verdict, where):
    row = change(
        "grade",
        10.0,
        verdict,
        group="Female",
        label_stratum=stratum,
        p_adjusted=0.0002,
        n=500.0,
        n_changed=12.0,
    )
    found = sheets.verdicts(study(fairness=[row])).frame.iloc[0]
    assert (found["where"], found["adjusted p"], found["n"], found["flipped"]) == (
        where,
        "< 0.001",
        500,
        12,
    )
    assert ",500,12," in table.csv(
        sheets.verdicts(study(fairness=[row, change("type", 1.0, "within chance")])).frame
    )
    assert found["verdict"].endswith(verdict)
    assert (found["permutation null"], found["detectable"]) == ("–", "–")


def test_conventions_average_what_was_estimated():
    base = {"attribute": "sex", "metric": "eodd", "version": "change", "unit": "patient"}
    rows = [
        {
            **base,
            "task": "grade",
            "original": 0.1,
            "reconstructed": 0.3,
            "change": 0.2,
            "verdict": "widened",
        }
    ]
    rows += [{**base, "task": "type", "original": 0.9, "verdict": "not estimable"}]
    rows += [{**base, "task": "grade", "convention": "mean"}]
    frame = record.conventions(study(fairness=rows)).frame
    assert frame.iloc[0].tolist() == [
        "EODD",
        "worst_case_estimable",
        2,
        "0.100",
        "0.300",
        "+0.200",
        "yes",
    ]
    assert frame.iloc[1].tolist() == [
        "EODD",
        "mean",
        1,
        *[Missing("nothing estimated")] * 3,
        "no verdict under this convention",
    ]
    assert record.conventions(study()) is None


def test_thresholds_without_a_rule_say_so():
    rows = [
        {
            "task": "grade",
            "metric": "threshold",
            "version": "original",
            "unit": "patient",
            "value": v,
        }
        for v in (0.41, NAN)
    ]
    assert record.thresholds(study(rows)).frame.to_numpy().tolist() == [
        ["WHO grade IV", "original", "0.4100", "not stated"]
    ]
    assert record.thresholds(study()) is None


def test_the_first_finite_number_is_taken():
    assert gaps.first(pd.Series([NAN, 0.2]), pd.Series([0.9])) == 0.2
    assert gaps.first(pd.Series([NAN]), pd.Series([], dtype=float), pd.Series([0.9])) == 0.9
    assert np.isnan(gaps.first(pd.Series([NAN]), pd.Series([float("inf")])))


def test_baselines_come_from_original_rows_and_else_from_change_rows():
    original = {
        "task": "grade",
        "attribute": "sex",
        "metric": "eodd",
        "version": "original",
        "unit": "patient",
        "value": 0.2,
    }
    moved = change("grade", 5.0, "widened", original=0.7, permutation_null=0.05)
    assert gaps.baseline_rows(study(fairness=[moved, original]))[
        ["value", "permutation_null"]
    ].to_numpy().tolist() == [[0.2, 0.05]]
    assert gaps.baseline_rows(study(fairness=[moved]))["value"].tolist() == [0.7]
    nothing = gaps.baseline_rows(study(fairness=[{**original, "value": NAN, "reason": "few"}]))
    assert nothing["reason"].tolist() == ["few"]
    assert nothing["value"].isna().all()


def test_a_floor_of_reconstructions_is_not_one_of_originals():
    row = {
        "task": "grade",
        "attribute": "sex",
        "metric": "eodd",
        "unit": "patient",
        "permutation_null": 0.05,
        "reason": "no originals",
    }
    found = study(
        fairness=[{**row, "version": "change"}, {**row, "version": "reconstructed", "value": 0.2}]
    )
    assert gaps.baseline_rows(found)[["value", "permutation_null"]].isna().all(axis=None)
    assert sheets.baseline(found).frame["mean permutation null"].tolist() == ["–"]


def test_sweeps_average_gaps_above_no_gap_at_the_headline_level():
    base = {
        "sweep": "eodd",
        "reconstructor": "unet",
        "level": 8.0,
        "weight": 1.0,
        "part": "val",
        "mitigation": "eodd@1",
        "chosen": "eodd@1",
    }
    rows = [
        ("eodd", "grade", 0.2),
        ("ser", "tumour", 1.4),
        ("auroc", "grade", 0.9),
        ("dice", "tumour", 0.5),
        ("psnr", "", 30.0),
    ]
    table = pd.DataFrame(
        [
            {**base, "metric": m, "task": t, "attribute": "", "value": v, "reason": "r"}
            for m, t, v in rows
        ]
    )
    other = table.assign(level=4.0, value=99.0)
    found = comparison.sweep_rows(
        dataclasses.replace(study(), sweep=pd.concat([table, other], ignore_index=True))
    )
    assert found[["gap", "score", "psnr"]].to_numpy().tolist() == [
        [pytest.approx(0.3), pytest.approx(0.7), 30.0]
    ]
    assert comparison.sweep_rows(study()).empty


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ((1, "study"), "1 study"),
        ((0, "gap"), "0 gaps"),
        ((2, "finding"), "2 findings"),
        ((1000, "gap"), "1,000 gaps"),
    ],
)
def test_counts_with_their_nouns(count, expected):
    assert summary.plural(*count) == expected


def test_overall_verdicts_of_one_loss_speak_in_the_singular():
    rows = pd.DataFrame(
        {
            "version": ["change"] * 3,
            "verdict": ["lower", "differs between seeds", "at chance"],
            "change": [-0.1, 0.2, 0.1],
        }
    )
    assert (
        summary.overall_verdicts(rows)
        == "of 3 single changes, 1 is a loss and 0 a gain beyond chance, and 2 could not be judged"
    )
    assert "may be chance" in summary.overall_verdicts(rows[:0])


def test_what_chance_may_hide_is_the_median_of_what_is_known():
    assert summary.missable(pd.DataFrame({"mde": [0.1, NAN, 0.3, 0.2]})) == pytest.approx(0.2)
    assert np.isnan(summary.missable(pd.DataFrame({"mde": [NAN]})))


@pytest.mark.parametrize(
    ("stratum", "words"),
    [("1", "with"), ("1.0", "with"), ("0", "without"), ("negative", "without")],
)
def test_strata_may_be_numbers_or_words(stratum, words):
    assert groups.stratum_phrase(stratum) == f"patients {words} the finding"
