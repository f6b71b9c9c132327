"""The paper's tables and figures from hand-made results: right numbers under the right number, and
what is missing with its reason.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.paper import PaperStudy, build_paper_report
from fairrecon_jax.report.paper.drawings import histogram
from fairrecon_jax.report.paper.figures import figures
from fairrecon_jax.report.paper.studies import PRINTED, printed
from fairrecon_jax.report.paper.tables import tables
from fairrecon_jax.report.tables.entries import Missing
from tests.report.test_report_comparison import swept
from tests.support import report_fake as fake
from tests.support.report_findings import findings_of_rows

GAPS = {
    # (task, attribute, mitigation): original, reconstructed
    ("grade", "sex", "none"): (0.10, 0.15),  # + 50 %
    ("type", "sex", "none"): (0.20, 0.16),  # - 20 %
    ("tumour", "sex", "none"): (1.10, 1.21),  # + 10 %
    ("grade", "age", "none"): (0.30, 0.33),  # + 10 %
    ("grade", "sex", "eodd"): (0.10, 0.12),  # + 20 %
}


def brain(folder: Path) -> PaperStudy:
    """A brain study with a U-Net, five changes of gaps and one mitigation."""
    fairness = []
    for (task, attribute, mitigation), (before, after) in GAPS.items():
        metric, unit = ("ser" if task == "tumour" else "eodd"), "patient"
        row = {"task": task, "attribute": attribute, "mitigation": mitigation, "metric": metric}
        row |= {"unit": unit, "convention": "mean"}
        fairness += [
            {**row, "version": "original", "value": before},
            {
                **row,
                "version": "change",
                "value": after - before,
                "change": after - before,
                "percent": 100 * (after - before) / before,
                "std_error": 0.01,
                "p_two_sided": 0.01 if task == "grade" else 0.4,
            },
        ]
    plain = {"unit": "patient", "metric": "auroc", "version": "reconstructed", "convention": ""}
    performance = [
        {**plain, "task": "grade", "value": 0.80},
        {**plain, "task": "grade", "value": 0.76, "mitigation": "eodd"},
        {**plain, "task": "grade", "value": 0.82, "version": "original"},
        {**plain, "task": "", "metric": "psnr", "value": 30.0, "unit": "image"},
        {**plain, "task": "", "metric": "psnr", "value": 27.0, "unit": "image"}
        | {"mitigation": "eodd"},
    ]
    people = pd.DataFrame(
        {
            "example_id": [f"i{i}" for i in range(60)],
            "patient_id": [f"p{i}" for i in range(60)],
            "split": "test",
            "sex": ["Female"] * 40 + ["Male"] * 20,
            "age": "under 58",
            "grade": 1.0,
            "type": 1.0,
            "tumour": 5,
        }
    )
    return PaperStudy(folder, findings_of_rows(performance, fairness), people)


def entries(table, *labels):
    """(here, paper) of the row with these labels."""
    frame = table.parts[0].frame
    rows = [r for r in frame.itertuples(index=False, name=None) if r[: len(labels)] == labels]
    assert len(rows) == 1, labels
    return rows[0][-2:]


def test_every_number_of_the_paper_is_in_the_package():
    rows = pd.read_csv(PRINTED, keep_default_na=False)
    counts = rows["table"].value_counts().to_dict()
    assert counts == {1: 5, 2: 6, 3: 9, 4: 8, 7: 3 * (13 * 4 + 2 * 3), 8: 3 * (3 * 4 + 2 * 3)}
    assert printed(7, "Edema", "unet", "chexpert", 3e3) == "0.89"
    assert printed(8, "PSNR", "sde", "ucsf_pdgm", 16) == "34.56"
    assert printed(8, "PSNR", "baseline", "ucsf_pdgm", 16) == ""


def test_tables_hold_the_medians_and_means_of_their_rows(tmp_path):
    found = {item.number: item for item in tables([brain(tmp_path)])}
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7, 8]
    # (.1 + .2) / 2 with the standard deviation of two values, .1 / sqrt 2
    assert entries(found[1], "Classification EODD baseline", "sex") == ("0.15 (0.07)", "0.05")
    assert entries(found[1], "Segmentation SER baseline", "sex") == ("1.10", "1.10")
    here, paper = entries(found[1], "Classification EODD baseline", "age")
    assert (here, paper) == ("0.30", "0.17")
    # of +50, -20, +10, +10 %
    assert entries(found[2], "Median bias change %", "U-Net") == ("+10.00", "2.28")
    assert entries(found[2], "Median absolute bias change %", "U-Net") == ("15.00", "14.6")
    here, paper = entries(found[2], "Median bias change %", "Pix2Pix")
    assert isinstance(here, Missing)
    assert paper == "−0.21"
    assert entries(found[3], "Standard", "sex") == ("+10.00", "24.1")
    assert entries(found[3], "EODD", "sex") == ("+20.00", "7.56")
    assert isinstance(entries(found[3], "Reweighted", "sex")[0], Missing)
    title = "UCSF-PDGM phantoms"
    assert entries(found[4], "PSNR change %", "EODD", title) == ("−10.00", "−7.28")
    assert entries(found[4], "Downstream change %", "EODD", title) == ("−5.00", "−2.94")
    assert "no study of radiographs" in found[7].missing[0]
    frame = found[8].parts[0].frame
    level = frame[(frame.iloc[:, 0] == "8×") & (frame.iloc[:, 1] == "Tumor Grade AUROC")].iloc[0]
    assert level.iloc[2:6].tolist() == ["0.82", "0.73", "0.80", "0.75"]
    assert "mitigation" in found[8].sources[0]
    assert "results/performance.csv" in found[8].sources[0]


def test_figures_that_cannot_be_made_say_why(tmp_path):
    found = {item.number: item for item in figures([brain(tmp_path)])}
    assert sorted(found) == list(range(2, 21))
    assert [n for n, item in found.items() if item.parts] == [2, 3, 5, 10, 13, 19, 20]
    assert all(item.parts or item.missing for item in found.values())
    assert "config.cohort.race" not in found[17].missing[0]
    assert "no study of radiographs" in found[17].missing[0]
    assert "no such picture" in found[9].missing[0]
    assert found[7].missing[0].endswith("one level was studied (config.degradation.levels)")
    assert "no weight was swept" in found[12].missing[0]
    assert found[16].missing[0].endswith("has no change of Delta-Dice")
    assert "with its interval is in figure 10." in found[2].parts[0].caption
    # the two-sided p below 5% is starred, the others are not
    (drawing,) = found[5].parts
    stars = [t for axes in drawing.figure.axes for t in axes.texts if t.get_text() == "★"]
    assert len(stars) == 3
    assert drawing.alt.count(";") == 2


def test_the_figure_of_weights_is_of_the_equalised_odds_term_alone(tmp_path):
    study, eodd = brain(tmp_path), swept("eodd@1")
    other = eodd.assign(sweep="adversarial", mitigation="adversarial@1", chosen="adversarial@1")

    def figure(*sweeps):
        findings = dataclasses.replace(study.findings, sweep=pd.concat(sweeps, ignore_index=True))
        found = figures([dataclasses.replace(study, findings=findings)])
        return next(item for item in found if item.number == 12)

    both, none = figure(other, eodd), figure(other)
    assert set(both.parts[0].table["sweep"]) == {"eodd"}
    assert both.sources[0].endswith("mitigation_sweep.csv: sweep = eodd")
    # under a name that the paper has no row for nobody knows what it is
    assert set(none.parts[0].table["sweep"]) == {"adversarial"}
    assert none.title == "Weight of the mitigation's term: MRI"


def test_a_study_without_mitigation_is_named_beside_one_that_has_some(tmp_path):
    study = brain(tmp_path)
    spec = fake.xray_spec(4)
    other = PaperStudy(tmp_path / "chest", findings_of_rows((), (), spec), study.people)
    found = {item.number: item for item in figures([study, other])}[13]
    assert len(found.parts) == 1
    assert [m for m in found.missing if "nothing was mitigated" in m and other.title in m]
    assert not any("chest" in source for source in found.sources)


def test_methods_have_their_colours_in_every_figure(tmp_path):
    study = brain(tmp_path)
    rows = study.gaps.assign(mitigation="none")
    more = [
        rows.assign(reconstructor=name, method=title)
        for name, title in (("irsde", "IR-SDE"), ("unet", "U-Net"), ("pix2pix", "Pix2Pix"))
    ]
    study.__dict__["gaps"] = pd.concat(more, ignore_index=True)
    by = {name: histogram([study], name) for name in ("method", "attribute")}
    panels = by["method"].figure.axes
    assert [axes.get_title(loc="left").split(":")[0] for axes in panels] == [
        "U-Net",
        "Pix2Pix",
        "IR-SDE",
    ]
    colors = [axes.patches[0].get_facecolor()[:3] for axes in panels]
    looks = style.looks(["unet", "pix2pix", "irsde"])
    assert colors == [to_rgb(look.color) for look in looks.values()]
    # an attribute has no colour that would mean a method
    one = {axes.patches[0].get_facecolor()[:3] for axes in by["attribute"].figure.axes}
    assert len(one) == 1
    assert not one & set(colors)


def test_the_page_links_every_number_and_takes_over_pictures(tmp_path):
    study = brain(tmp_path / "work")
    (tmp_path / "work" / "report" / "figures").mkdir(parents=True)
    Image.new("L", (40, 20)).save(tmp_path / "work" / "report" / "figures" / "example_01.png")
    page = build_paper_report(tmp_path / "out", [study], ReportOptions(pdf=False, dpi=50))
    text = page.read_text(encoding="utf-8")
    for kind, numbers in (("Table", range(1, 9)), ("Figure", range(2, 21))):
        for number in numbers:
            assert f'href="#{kind.lower()}-{number}"' in text
            assert f'id="{kind.lower()}-{number}"' in text
    assert (tmp_path / "out" / "figures" / "figure_9_1.png").is_file()
    # as the page of the study says it
    assert "reconstruction minus original" in text
    assert (tmp_path / "out" / "tables" / "table_8.csv").is_file()
    # every choice above a table says of what
    assert not [item for item in tables([study]) for part in item.parts[:1] if item.number < 5
                and "" in map(str, part.frame.columns)]  # fmt: skip
    with pytest.raises(ValueError, match="one study of radiographs, one of brain MRI, or both"):
        build_paper_report(tmp_path / "out", [study, study])


def test_cohorts_are_pooled(tmp_path):
    study = brain(tmp_path)
    rows = [
        {"task": "edema", "attribute": "sex", "metric": "eodd", "unit": "image", "level": 1e4}
        | {"convention": "mean", "version": "change", "percent": p, "change": p / 1000}
        for p in (-40.0,)
    ]
    spec = fake.xray_spec(4)
    other = PaperStudy(tmp_path, findings_of_rows((), rows, spec), study.people)
    both = {item.number: item for item in tables([other, study])}
    # of +50, -20, +10 (MRI) and -40 % (X-ray) by sex
    assert entries(both[3], "Standard", "sex") == ("−5.00", "24.1")
    assert both[3].missing == ()
