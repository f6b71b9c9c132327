"""The whole report: a page that stands alone, hides what it must and escapes what it prints."""

from __future__ import annotations

import csv
import dataclasses
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from fairrecon_jax.inference import GAPS, MITIGATIONS, VERDICTS
from fairrecon_jax.report import ReportOptions, build_report
from fairrecon_jax.report.long_tables import NUMBERS, TEXT
from fairrecon_jax.types import Attribute, Task
from tests.support import report_fake as fake
from tests.support.report_inputs import cohort_table, examples, provenance

QUICK = ReportOptions(dpi=50, max_examples=1)
PLAIN = dataclasses.replace(QUICK, pdf=False)
WHOLE = dataclasses.replace(QUICK, appendix=True)
SPEC = dataclasses.replace(
    fake.mri_spec(), tasks=fake.mri_spec().tasks[1:], attributes=fake.mri_spec().attributes[:1]
)
CELLS = [
    ("unet", 4.0, "none"),
    ("unet", 8.0, "none"),
    ("irsde", 8.0, "none"),
    ("unet", 8.0, "eodd"),
]
SMALL = dataclasses.replace(
    fake.mri_spec(), tasks=fake.mri_spec().tasks[-1:], attributes=fake.mri_spec().attributes[:1]
)


class Page(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(folder: Path, spec, cells, options: ReportOptions = QUICK, **changed) -> str:
    parts = {
        "performance": fake.performance(spec, cells),
        "fairness": fake.fairness(spec, cells),
        "cohort_table": cohort_table(spec, 60),
        "examples": examples(spec, 1, 32),
        "provenance": provenance(spec),
    } | changed
    path = build_report(folder, spec, options=options, **parts)
    assert path == folder / "report" / "index.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def text(folder) -> str:
    return write(folder, SPEC, CELLS, WHOLE)


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_the_page_is_well_formed(page):
    assert page.open == []
    assert page.all("html")[0]["lang"] == "en"


def test_nothing_is_loaded_from_elsewhere(text, page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", value), f"<{tag} {name}={value[:60]}>"
    assert not page.all("link")
    assert all(i["src"].startswith("data:image/png;base64,") for i in page.all("img"))
    own = re.sub('<script type="module">.*?</script>', "", text, flags=re.DOTALL)
    assert "@import" not in own
    assert "url(" not in own
    policy = [
        m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy[0].startswith("default-src 'none'")


@pytest.fixture(scope="module")
def appendix(text, folder) -> Page:
    return Page((folder / "report" / "appendix.html").read_text(encoding="utf-8"))


def test_the_second_page_is_well_formed_and_holds_the_rest(page, appendix):
    assert appendix.open == []
    figures = [{a["id"] for a in one.all("figure")} for one in (page, appendix)]
    assert not figures[0] & figures[1]
    assert {"gap_forest_sex", "volcano", "task_performance"} <= figures[1]


def test_every_picture_has_words_and_a_size(page, appendix):
    pictures = page.all("img") + appendix.all("img")
    assert len(pictures) > 15
    for picture in pictures:
        assert len(picture["alt"]) > 20
        assert int(picture["width"]) > 100


def test_every_link_leads_somewhere(folder, page):
    ids = {a["id"] for _, a in page.tags if a.get("id")}
    links = [a["href"] for a in page.all("a")]
    assert links
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert (folder / "report" / link).stat().st_size > 0


def test_ids_are_unique(page):
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_figures_exist_as_png_and_pdf_with_their_numbers(folder):
    report = folder / "report"
    names = {p.stem for p in (report / "figures").glob("*.png")}
    assert names == {p.stem for p in (report / "figures").glob("*.pdf")}
    assert {
        "before_after",
        "overview_performance",
        "overview_group_change",
        "task_performance",
        "gap_forest_sex",
        "volcano",
        "example_01",
    } <= names
    for name in names:
        assert (report / "tables" / f"{name}.csv").exists(), name


def test_tables_exist_as_csv_and_tex(folder):
    tables = folder / "report" / "tables"
    tex = {p.stem for p in tables.glob("*.tex")}
    assert {
        "performance_by_level",
        "baseline_gap_means",
        "verdicts",
        "median_bias_change",
        "cohort_counts",
        "all_verdicts",
        "exclusions",
    } <= tex
    for name in tex:
        assert (tables / f"{name}.csv").exists(), name
    assert len(pd.read_csv(tables / "long_fairness.csv")) == len(fake.fairness(SPEC, CELLS))


def test_columns_of_every_csv_have_names_of_their_own(folder, text):
    heads = {
        path.name: next(csv.reader(path.open(encoding="utf-8")))
        for path in (folder / "report" / "tables").glob("*.csv")
    }
    assert len(heads) > 20
    assert [name for name, head in heads.items() if len(set(head)) < len(head)] == []
    assert heads["cohort_counts.csv"][2:4] == [
        "train (reconstruction): patients",
        "train (reconstruction): slices",
    ]


def test_nothing_is_left_aside(folder):
    assert [p.name for p in folder.rglob(".*")] == []


def test_identifiers_are_absent_by_default(folder, text):
    assert "SECRET" not in text
    for path in (folder / "report").rglob("*"):
        if path.suffix in (".csv", ".tex", ".html"):
            assert "SECRET" not in path.read_text(encoding="utf-8"), path.name


def test_not_estimable_entries_are_shown_with_reason(text):
    assert 'class="ne"' in text
    assert "n.e. = not estimable:" in text
    assert "fewer than 20" in text
    assert "LPIPS weights cannot be imported yet" in text


def test_first_screen_and_sections_are_there(text):
    body = text[text.index("<main") :]
    order = [
        body.index(s)
        for s in (
            "Who lost more than others",
            "What was compared",
            "Figure 1.",
            'id="limits"',
            'id="gaps"',
            "Figure 2.",
            'id="explorer"',
            'id="reading"',
            'id="glossary"',
        )
    ]
    assert order == sorted(order)
    for section in (
        "diagnosis",
        "before",
        "gaps",
        "mitigation",
        "examples",
        "cohort",
        "methods",
        "record",
    ):
        assert f'id="{section}"' in body
    assert "Only one seed was trained per reconstructor." in body
    assert "sha256:0123abcd" in body
    assert "8 min 32 s" in body


def test_words_are_chosen(text):
    assert "debias" not in text.lower()
    assert "assess" in text
    for gone in ("within chance", "shifted", "no detectable effect"):
        assert gone not in text.lower()


def test_every_verdict_word_is_defined_once_in_the_glossary(text):
    words = text[text.index('<div id="verdict-words">') : text.index('<section id="record">')]
    # the sentences are the ones of the tests, not copies
    for lists in (VERDICTS, GAPS, MITIGATIONS):
        for word, says in lists.items():
            sentence = says[0].upper() + says[1:]
            assert html.unescape(words).count(f"<dd>{sentence}.</dd>") == 1, word
    terms = re.findall(r"<dt>(.*?)</dt>", words)
    for word in (*VERDICTS, *GAPS, *MITIGATIONS, "lower", "higher", "differs between seeds"):
        named = [t for t in terms if t.split(" ", 1)[-1] == word or t == word]
        assert len(named) == 1, word


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("small")
    return folder, write(folder, SMALL, [("unet", 8.0, "none")])


def test_a_new_report_leaves_nothing_of_an_older_one_and_is_the_same(tmp_path, small):
    stale = [
        tmp_path / "report" / name
        for name in (
            "appendix.html",
            "figures/example_99.png",
            "tables/patients.csv",
            # of a process that was killed while it wrote
            "figures/.verdict_map.png.txpzyw7p",
            "tables/.long_fairness.csv.ab3_12x9",
        )
    ]
    foreign = tmp_path / "report" / "figures" / "notes.txt"
    for path in (*stale, foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("SECRET")
    folder, text = small
    assert write(tmp_path, SMALL, [("unet", 8.0, "none")]) == text
    assert [path.exists() for path in (*stale, foreign)] == [*[False] * 5, True]
    assert (tmp_path / "report" / "figures" / "overview_performance.png").exists()
    paths = [p for p in folder.rglob("*") if p.is_file()]
    assert len(paths) > 15
    for path in paths:
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name


def test_a_single_level_and_reconstructor(small):
    _, text = small
    assert "by U-Net, radially undersampled MRI at acceleration factor 8×" in text
    assert "(worse" not in text
    assert 'id="mitigation"' not in text


def test_hostile_names_are_escaped(tmp_path):
    bad = "<script>alert('x')</script> & 50%_$\\"
    spec = dataclasses.replace(
        fake.mri_spec(),
        title=bad,
        citation=bad,
        tasks=(Task("lesion", "segmentation", "mean", bad),),
        attributes=(Attribute("sex", (f"A{bad}", f"B{bad}"), bad),),
    )
    given = {
        **provenance(spec),
        "config": bad,
        "warnings": [bad],
        "seeds": {bad: bad},
        "exclusions": {bad: 2},
    }
    cells = [("unet", 8.0, "none"), (bad, 8.0, "none")]
    text = write(tmp_path, spec, cells, PLAIN, provenance=given, examples=[])
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(" in text
    # the page's own five: numbers, charts, their library, what draws them, tables
    assert len(Page(text).all("script")) == 5
    assert "alert(" not in "".join(re.findall(r"<script>.*?</script>", text, re.DOTALL))
    for path in (tmp_path / "report" / "tables").glob("*.tex"):
        body = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)%", body), path.name
        assert "50\\%\\_\\$\\textbackslash{}" in body or "50" not in body, path.name
    assert not [p for p in tmp_path.rglob("*") if "<" in p.name]


def test_an_empty_fairness_table(tmp_path):
    spec = dataclasses.replace(SMALL, tasks=fake.mri_spec().tasks[:1])
    nothing = pd.DataFrame(columns=[*TEXT, *NUMBERS])
    given = {"fairness": nothing, "examples": [], "provenance": None}
    text = write(tmp_path, spec, [("unet", 8.0, "none")], PLAIN, **given)
    assert "the tables hold no gap between groups" in text
    assert "The tables hold no change of a gap between groups." in text
    assert 'id="examples"' not in text
    assert "not recorded" in text


def test_everything_empty_still_makes_a_page(tmp_path):
    nothing = pd.DataFrame(columns=[*TEXT, *NUMBERS])
    spec = fake.mri_spec()
    path = build_report(tmp_path, spec, nothing, nothing, pd.DataFrame(), options=PLAIN)
    text = path.read_text(encoding="utf-8")
    assert "nothing could be compared" in text
    assert Page(text).all("img") == []


def test_missing_columns_are_refused_before_anything_is_written(tmp_path):
    spec = fake.mri_spec()
    frame = fake.performance(spec, [("unet", 8.0, "none")])
    with pytest.raises(ValueError, match="performance table lacks the columns"):
        build_report(tmp_path, spec, frame.drop(columns="value"), frame, pd.DataFrame())
    assert not (tmp_path / "report").exists()


def test_warnings_follow_from_the_tables_and_identifiers_appear_where_asked_for(tmp_path):
    cells = [("unet", 4.0, "none")]
    rows = fake.fairness(SMALL, cells)
    rows["verdict"], rows["p_value"], rows["p_adjusted"] = "", float("nan"), float("nan")
    options = dataclasses.replace(
        PLAIN, convention="worst_case", title="My <title>", identifiers=True
    )
    text = write(tmp_path, SMALL, cells, options, fairness=rows)
    assert "The convention &#39;worst_case&#39; is not in the tables" in text
    assert "acceleration factor 4× is shown instead" in text
    assert "No test of the groups is in the tables" in text
    assert "<h1>My &lt;title&gt;</h1>" in text
    assert "SECRET00000/study1" in text
    assert "SECRET00007/study1/view1.jpg" in text


@pytest.mark.slow
def test_progress_says_which_part_of_the_report_is_made(tmp_path, capsys):
    options = ReportOptions(dpi=50, pdf=False, appendix=True)
    write(tmp_path, SPEC, CELLS, options, shown=True)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("report, ")]
    assert [line.split(":")[0] for line in told] == [
        "report, figures and tables",
        "report, appendix",
    ]
    for line in told:
        done, _, total = line.partition(": item ")[2].partition(",")[0].partition("/")
        assert done == total != "0"
    write(tmp_path, SPEC, CELLS, options)
    assert "report," not in capsys.readouterr().err
