"""The record of how a study was made, as its report prints it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jax
import pandas as pd
import pytest

from fairrecon_jax.data.api import folder_of
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.report import provenance, write_report
from tests.support.study_fakes import configured, opened


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """An opened study whose cohort left out one file."""
    config = configured(
        seed=3, assess__seed=5, tandem__batch_size=8, reconstructors__unet__train__workers=2
    )
    made = opened(tmp_path, pd.DataFrame({"sex": ["F"]}), config=config)
    folder = folder_of(made.study.cohort, made.workdir.cohort)
    folder.mkdir(parents=True)
    lines = ("file,reason,kind,action", "a.nii,blank,constant,skip", "NA,,none,keep")
    (folder / "exclusions.csv").write_text("\n".join(lines))
    return made


def record(context: Context, stem: str, text: str, age: int) -> None:
    """Writes a record that is some seconds old."""
    path = context.workdir.stages / f"{stem}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (1e9 - age, 1e9 - age))


def test_how_the_study_was_made(context):
    found = provenance(context)
    assert found["seeds"] == {"study": 3, "splits": 0, "assessment": 5}
    assert found["split_hash"] == "digest"
    constant = "an image holds one single value"
    assert found["exclusions"] == [
        {"file": "a.nii", "reason": "blank", "kind": "constant", "action": "skip"}
        | {"meaning": constant},
        {"file": "NA", "reason": "", "kind": "none", "action": "keep", "meaning": "none"},
    ]
    assert found["versions"]["jax"] == jax.__version__
    assert {"Python", "flax", "numpy", "fairrecon_jax"} <= set(found["versions"])
    assert found["device"] == "4 x cpu"


def test_a_package_that_was_never_installed_has_no_version(context, monkeypatch):
    monkeypatch.setattr(
        "fairrecon_jax.study.provenance.PACKAGES", ("jax", "fairrecon-of-a-checkout")
    )
    versions = provenance(context)["versions"]
    assert versions["jax"] == jax.__version__
    assert versions["fairrecon-of-a-checkout"] == "not installed"


def test_the_configuration_is_what_a_number_depends_on(context):
    config = provenance(context)["config"]
    assert config["cohort"]["image_size"] == 32
    assert config["reconstructors"]["unet"]["train"]["steps"] == 2
    assert "root" not in config, "a path tells where a patient's images lie"
    assert "workers" not in config["reconstructors"]["unet"]["train"]
    json.dumps(config)


def test_run_times_stand_in_the_order_in_which_the_stages_were_made(context):
    for age, title in enumerate(("report", "train unet at 8", "cohort")):
        text = json.dumps({"title": title, "seconds": float(age)})
        record(context, title.replace(" ", "__"), text, age)
    record(context, "spoilt", "{", 9)
    record(context, "untitled", '{"seconds": 3.0}', 9)
    assert list(provenance(context)["run_times"].items()) == [
        ("cohort", 2.0),
        ("train unet at 8", 1.0),
        ("report", 0.0),
    ]


def test_a_study_without_results_has_no_report(context):
    with pytest.raises(FileNotFoundError, match=r"performance\.csv: run `fairrecon assess` first"):
        write_report(context)
