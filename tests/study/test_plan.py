"""The stages of a study: which there are, what each is made from, and what each makes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.training.checkpoints import save_variables
from fairrecon_jax.types import Cell
from tests.support import tiny_study
from tests.support.study_fakes import configured, importing, opened, phantom_xray

WEIGHTS = {"params": {"net": {"w": np.arange(3.0)}}, "batch_stats": {}}


def stages(config: ConfigDict, workdir: Path) -> dict[str, Stage]:
    """By title, the stages of a study."""
    made = plan(Context(config, workdir))
    assert len({stage.title for stage in made}) == len({stage.stem for stage in made}) == len(made)
    return {stage.title: stage for stage in made}


def needs(made: dict[str, Stage]) -> dict[str, set[str]]:
    """By title, the titles of the stages that each is made from."""
    return {title: {need.title for need in stage.needs} for title, stage in made.items()}


def test_what_the_stages_of_a_study_are_made_from(tmp_path):
    config = configured(reconstructors__again=ConfigDict({"weights_of": "unet"}))
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    config.mitigations.dro = mitigation("group_dro", 2, 8, 1e-3)
    data = {"cohort", "train tumor"}
    tried = {f"predict unet with eodd@{weight} at 8" for weight in ("0.1", "1")}
    plain = {f"predict {name} at 8" for name in ("again", "identity", "unet")}
    expected = {
        "phantom": set(),
        "cohort": {"phantom"},
        "train tumor": {"cohort"},
        "predict identity at 8": data,
        "train unet at 8": {"cohort"},
        "predict unet at 8": data | {"train unet at 8"},
        "predict again at 8": data | {"train unet at 8"},
        "mitigate unet with dro at 8": data | {"train unet at 8"},
        "predict unet with dro at 8": data | {"mitigate unet with dro at 8"},
        "mitigate unet with eodd@0.1 at 8": data | {"train unet at 8"},
        "predict unet with eodd@0.1 at 8": data | {"mitigate unet with eodd@0.1 at 8"},
        "mitigate unet with eodd@1 at 8": data | {"train unet at 8"},
        "predict unet with eodd@1 at 8": data | {"mitigate unet with eodd@1 at 8"},
        "choose unet with eodd at 8": tried | {"predict unet at 8"},
        "assess": plain | tried | {"predict unet with dro at 8", "choose unet with eodd at 8"},
        "report": data | {"train unet at 8", "assess"},
    }
    made = needs(stages(config, tmp_path))
    assert made == expected
    assert list(made)[-2:] == ["assess", "report"]


def test_a_tree_that_is_given_is_not_drawn(tmp_path):
    made = stages(configured(cohort__root="there"), tmp_path)
    assert "phantom" not in made
    assert needs(made)["cohort"] == set()


def test_what_all_processes_make_together(tmp_path):
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    together = {stage.verb for stage in stages(config, tmp_path).values() if stage.together}
    alone = {stage.verb for stage in stages(config, tmp_path).values() if not stage.together}
    assert together == {"train", "mitigate", "predict"}
    assert alone == {"phantom", "cohort", "choose", "assess", "report"}


@pytest.mark.parametrize("name", ["quickstart_xray", "quickstart_brain", "lgg_mri", "chexpert"])
def test_every_configuration_has_a_plan(name, tmp_path):
    made = stages(configuration(name), tmp_path)
    assert list(made)[-2:] == ["assess", "report"]
    seen: set[str] = set()
    for title, stage in made.items():
        assert {need.title for need in stage.needs} <= seen, "what is needed is made before"
        seen.add(title)


# -- imports


def test_files_of_weights_are_imported_and_known_by_their_content(tmp_path):
    config = importing(str(tmp_path / "net_{level}.pth"))
    file = tmp_path / "net_8.pth"
    file.write_bytes(b"one")
    made = stages(config, tmp_path / "work")
    assert "train unet at 8" not in made
    assert made["import unet at 8"].together
    assert needs(made)["predict unet at 8"] == {"cohort", "train tumor", "import unet at 8"}
    first = made["import unet at 8"].digest
    file.write_bytes(b"two")
    assert stages(config, tmp_path / "work")["import unet at 8"].digest != first
    file.write_bytes(b"one")
    assert stages(config, tmp_path / "work")["import unet at 8"].digest == first
    moved = tmp_path / "moved"
    moved.mkdir()
    file.rename(moved / file.name)
    config.reconstructors.unet.weights = str(moved / "net_{level}.pth")
    assert stages(config, tmp_path / "work")["import unet at 8"].digest == first


def test_imported_weights_that_lie_there_are_read_and_not_trained(tmp_path):
    config, folder = tiny_study.get_config(), Context(tiny_study.get_config(), tmp_path).workdir
    place = folder.model(Cell("unet", 8.0)) / "final"
    save_variables(place, WEIGHTS, {"name": "unet"})
    assert "train unet at 8" in stages(config, tmp_path), "weights of a training"
    save_variables(place, WEIGHTS, {"name": "unet", "imported": {"files": {}}})
    made = stages(config, tmp_path)
    assert "train unet at 8" not in made
    made["import unet at 8"].run()
    save_variables(place, {**WEIGHTS, "params": {}}, {"name": "unet", "imported": {}})
    assert stages(config, tmp_path)["import unet at 8"].digest != made["import unet at 8"].digest


# -- outputs


def test_the_output_of_a_training_is_the_digest_of_its_weights(tmp_path):
    made = stages(phantom_xray(), tmp_path)
    outputs = []
    for title, folder in (
        ("train findings", "diagnosers/findings"),
        ("train unet at 10000", "reconstructors/unet/10000"),
        ("mitigate unet with eodd at 10000", "mitigated/eodd/unet/10000"),
    ):
        save_variables(tmp_path / folder / "final", WEIGHTS, {"name": "x", "seconds": len(folder)})
        output = made[title].output
        assert output is not None
        outputs.append(output())
    assert len(set(outputs)) == 1, "the same weights, whatever is said of them"
    record = json.loads(
        (tmp_path / "diagnosers/findings/final/meta/metadata").read_text(encoding="utf-8")
    )
    assert outputs[0] == record["digest"][:16]


def test_the_output_of_predictions_is_the_digest_of_the_file(tmp_path):
    made = stages(tiny_study.get_config(), tmp_path)["predict unet at 8"]
    file = tmp_path / "predictions" / "unet__8.parquet"
    file.parent.mkdir()
    file.write_bytes(b"table")
    assert made.output is not None
    assert made.output() == hashlib.sha256(b"table").hexdigest()[:16]


def test_the_output_of_the_assessment_is_the_digest_of_its_tables(tmp_path):
    context = opened(tmp_path, pd.DataFrame({"sex": ["F"]}))
    assess = next(stage for stage in plan(context) if stage.title == "assess")
    assert assess.output is not None
    (tmp_path / "results").mkdir()
    with pytest.raises(FileNotFoundError):
        assess.output()
    (tmp_path / "predictions.parquet").write_bytes(b"rows")
    seen = {assess.output()}
    for name in ("performance", "fairness", "mitigation", "mitigation_sweep"):
        (tmp_path / "results" / f"{name}.csv").write_text("a\n1\n")
        seen.add(assess.output())
    assert len(seen) == 5
    (tmp_path / "results" / "fairness.csv").write_text("a\n2\n")
    assert assess.output() not in seen


def test_the_output_of_a_choice_is_the_digest_of_what_it_hands_out(tmp_path):
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    choose = stages(config, tmp_path)["choose unet with eodd at 8"]
    assert choose.output is not None
    files = (
        tmp_path / "mitigated/eodd/unet/8/sweep.csv",
        tmp_path / "predictions/unet__8__eodd.parquet",
    )
    seen = set()
    for content in ((b"a", b"b"), (b"a", b"c"), (b"d", b"b")):
        for file, text in zip(files, content, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        seen.add(choose.output())
    assert len(seen) == 3
