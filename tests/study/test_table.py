"""A foreign table from the command line to its report."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fairrecon_jax.cli import main as cli
from fairrecon_jax.study.table import assess_table
from tests.support.foreign_tables import PLAIN_MAPPING, plain_frame, saved

OPTIONS = {
    "threshold_rule": "fixed",
    "threshold_value": 0.5,
    "permutations": 19,
    "null_draws": 5,
    "auroc_gaps": False,
    "scores": False,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a table whose attributes differ in letters that are not ASCII alone."""
    folder = tmp_path_factory.mktemp("letters")
    table = plain_frame().assign(
        g1=np.resize(["a", "b", "c"], 120), g2=np.resize(["x", "y"], 120), note=""
    )
    attributes = {"性别": "sex", "种族": "g1", "männlich": "g2", "m_nnlich": "g1", "M NNLICH": "g2"}
    table.loc[0, "b"] = np.nan
    mapping = {
        **PLAIN_MAPPING,
        "attributes": attributes,
        "title": "Lungen 2021 & <b>",
        "reconstructor": "U-Net №2",
        "options": OPTIONS,
    }
    with pytest.warns(UserWarning, match="validation rows without a reconstructed score"):
        return assess_table(
            saved(folder, table), mapping, folder / "run", appendix=True, dpi=50, pdf=False
        )


def test_every_attribute_has_files_of_its_own(report):
    tables = sorted((report.parent / "tables").glob("groups_*_sensitivity*.csv"))
    held = [tuple(pd.read_csv(path)["attribute"].unique()) for path in tables]
    assert sorted(held) == sorted(
        (n,) for n in ("性别", "种族", "männlich", "m_nnlich", "M NNLICH")
    )
    names = [path.stem for path in tables]
    assert "groups_性别_sensitivity" in names
    assert "groups_männlich_sensitivity" in names
    assert "groups_m_nnlich_sensitivity_2" in names
    for path in tables:
        with Image.open(report.parent / "figures" / f"{path.stem}.png") as picture:
            assert picture.size[0] > 100


def test_the_page_is_named_by_the_mapping_and_links_what_is_there(report):
    page = report.read_text(encoding="utf-8")
    assert "<h1>Lungen 2021 &amp; &lt;b&gt;" in page
    assert "U-Net №2" in page
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    files = [link for link in links if link.startswith(("tables/", "figures/"))]
    assert len(files) > 20
    from urllib.parse import unquote

    assert all((report.parent / unquote(link)).is_file() for link in files)


def test_what_was_left_out_stands_on_the_page(report):
    assert "validation rows without a reconstructed score of finding" in report.read_text(
        encoding="utf-8"
    )


def test_a_drafted_mapping_assesses_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, plain_frame(), "mine.csv")
    assert cli.main(["assess", "--predictions=mine.csv", "--init"]) == 0
    assert "wrote columns.yaml" in capsys.readouterr().out
    words = ["assess", "--predictions=mine.csv", "--mapping=columns.yaml", "--workdir=run"]
    with open("columns.yaml", "a", encoding="utf-8") as file:
        file.write(f"options: {json.dumps(OPTIONS)}\n")
    assert cli.main(words) == 0
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert cli.main(["assess", "--predictions=mine.csv", "--init"]) == 2
    assert "columns.yaml exists" in capsys.readouterr().err
    assert cli.main(["assess", "--init"]) == 2
    assert "give --predictions=FILE" in capsys.readouterr().err


def test_the_help_shows_the_schema(capsys):
    assert cli.main(["assess", "--help"]) == 0
    out = capsys.readouterr().out
    for key in ("tasks:", "attributes:", "scale:", "missing:", "decimal:", "--init", "options:"):
        assert key in out
