import importlib.util
from pathlib import Path

import nbformat
import pytest

from tests.conftest import SHARED_DATA

SAMPLE = SHARED_DATA / "nih_chestxray14"
NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
SAYS = {
    "assess_predictions": ("harmed", "Female lost 3", "Who lost more than others"),
    "degrade_and_look": ("RadialMRI(acceleration=8)", "PSNR"),
    "mitigate_and_judge": ("200 patients", "equalised_odds", "verdict"),
    "tandem_own_classifier": ("effusion__reconstructed", "bright__original"),
    "train_on_arrays": ("Pix2Pix", "29,321 parameters"),
    "whole_study": ("['unet', 10000]", "cardiomegaly"),
}
"""What a notebook prints, among other things."""


def test_every_notebook_is_known():
    assert [path.stem for path in NOTEBOOKS] == sorted(SAYS)


@pytest.fixture(scope="module")
def executed():
    """What runs notebooks for the site too, so that none runs twice."""
    place = NOTEBOOKS[0].parents[1] / "docs" / "plugins" / "execute.py"
    spec = importlib.util.spec_from_file_location("execute", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.executed


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, executed):
    # the notebook of a whole study reads the sample where it is, and draws phantoms elsewhere
    sample = str(SAMPLE) if path.stem == "whole_study" and SAMPLE.is_dir() else ""
    notebook = nbformat.read(executed(path, sample), as_version=4)
    text = "".join(
        str(output.get("data", output.get("text", "")))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    for words in SAYS[path.stem]:
        assert words in text
    # a finding that phantoms do not have
    assert ("atelectasis" in text) == bool(sample)


def test_stored_notebooks_carry_no_outputs():
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        assert all(
            not cell.get("outputs") and cell.get("execution_count") is None
            for cell in notebook.cells
            if cell.cell_type == "code"
        )
