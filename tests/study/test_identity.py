"""What a result depends on: of a finished study, which stages a changed field makes stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.phantoms import BrainPhantomOptions, write_phantom
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.run import run
from fairrecon_jax.study.stages import dependents
from tests.support import tiny_study

PREDICT = {"predict identity at 8", "predict unet at 8", "predict again at 8"}
TUNED = {"mitigate unet with eodd@0.1 at 8", "mitigate unet with eodd@1 at 8"}
PREDICT_TUNED = {"predict unet with eodd@0.1 at 8", "predict unet with eodd@1 at 8"}
CHOOSE = {"choose unet with eodd at 8"}
LAST = {"assess", "report"}
AFTER_UNET = {"predict unet at 8", "predict again at 8"} | TUNED | PREDICT_TUNED | CHOOSE | LAST
AFTER_DIAGNOSER = PREDICT | TUNED | PREDICT_TUNED | CHOOSE | LAST
EVERYTHING = {"cohort", "train tumor", "train unet at 8"} | AFTER_DIAGNOSER


def configuration(root: Path) -> ConfigDict:
    """One network, used twice, with a mitigation at two weights."""
    config = tiny_study.get_config()
    config.phantom = ConfigDict({"kind": ""})
    config.cohort.root = str(root)
    config.reconstructors.again = ConfigDict({"weights_of": "unet"})
    config.mitigations.eodd = mitigation(
        "equalised_odds", 2, 8, 1e-3, attributes=("sex",), weights=(0.1, 1.0)
    )
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(tree, work directory) of a study that is done."""
    folder = tmp_path_factory.mktemp("identity")
    write_phantom("brain", folder / "tree", BrainPhantomOptions(patients=24, size=32, slices=8))
    run(configuration(folder / "tree"), folder / "work")
    return folder / "tree", folder / "work"


def stale(config: ConfigDict, workdir: Path) -> set[str]:
    """The titles of the stages that a run would make."""
    stages = plan(Context(config, workdir))
    undone = [stage for stage in stages if not stage.is_done(workdir / "stages")]
    return {stage.title for stage in dependents(undone, stages)}


def with_fields(config: ConfigDict, fields: dict[str, object]) -> ConfigDict:
    """The configuration with fields by dotted name."""
    with config.unlocked(), config.ignore_type():
        for path, value in fields.items():
            *outer, last = path.split(".")
            block = config
            for name in outer:
                block = block[name]
            block[last] = value
    return config


@pytest.mark.slow
def test_a_finished_study_has_nothing_to_make(finished):
    tree, work = finished
    assert stale(configuration(tree), work) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"reconstructors.unet.train.workers": 2},
        {"diagnosers.tumor.train.workers": 2},
        {"mitigations.eodd.train.workers": 2},
        {"reconstructors.unet.train.checkpoint_every": 1},
        {"diagnosers.tumor.train.keep": 5},
        {"mitigations.eodd.train.log_every": 1},
        {"diagnosers.tumor.train.tensorboard": True},
        {"tandem.batch_size": 8},
        {"reconstructors.unet.train.eval_batch_size": 4},
        {"diagnosers.tumor.train.learning_rate": 0.01},
        {"cohort.views": ["frontal"]},
    ],
    ids=lambda fields: ", ".join(fields),
)
def test_fields_that_change_no_number_make_nothing_stale(finished, fields):
    tree, work = finished
    assert stale(with_fields(configuration(tree), fields), work) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "stages"),
    [
        ("seed", 1, PREDICT | PREDICT_TUNED | CHOOSE | LAST),
        ("cohort.image_size", 16, EVERYTHING),
        ("cohort.slices", (1, 6), EVERYTHING),
        ("cohort.patients", 20, EVERYTHING),
        ("cohort.source", "other", EVERYTHING),
        # The segmenter reads one task, whatever others there are.
        ("cohort.tasks", ("tumor", "grade"), AFTER_DIAGNOSER),
        ("cohort.uncertainty", "ones", {"train tumor"} | AFTER_DIAGNOSER),
        # The mitigation is about sex: other groups, and other codings of them, are not its matter.
        ("cohort.attributes", ("sex", "age"), CHOOSE | LAST),
        ("cohort.age_cut", 40.0, CHOOSE | LAST),
        ("cohort.age_cut_side", "under", CHOOSE | LAST),
        ("cohort.race", "pooled", CHOOSE | LAST),
        ("cohort.race", ("six", "pooled"), CHOOSE | LAST),
        ("cohort.mask_values", (1, 2), EVERYTHING),
        ("cohort.evaluate_slices", (2, 5), PREDICT | PREDICT_TUNED | CHOOSE | LAST),
        ("splits.seed", 1, EVERYTHING),
        ("splits.fractions", (0.5, 0.3, 0.2), EVERYTHING),
        ("splits.diagnosis_fraction", 0.5, EVERYTHING),
        ("degradation.magnitude", "real", {"train unet at 8"} | PREDICT | AFTER_UNET),
        ("reconstructors.unet.width", 8, {"train unet at 8"} | AFTER_UNET),
        ("reconstructors.unet.train.steps", 3, {"train unet at 8"} | AFTER_UNET),
        ("reconstructors.unet.train.learning_rate", 2e-3, {"train unet at 8"} | AFTER_UNET),
        ("reconstructors.unet.train.seed", 1, {"train unet at 8"} | AFTER_UNET),
        ("reconstructors.unet.augment", {"flip": True}, {"train unet at 8"} | AFTER_UNET),
        ("reconstructors.again.residual", True, {"predict again at 8"} | LAST),
        ("diagnosers.tumor.width", 8, {"train tumor"} | AFTER_DIAGNOSER),
        ("diagnosers.tumor.train.batch_size", 4, {"train tumor"} | AFTER_DIAGNOSER),
        ("mitigations.eodd.train.steps", 3, TUNED | PREDICT_TUNED | CHOOSE | LAST),
        ("mitigations.eodd.fraction", 0.5, TUNED | PREDICT_TUNED | CHOOSE | LAST),
        ("mitigations.eodd.tuned_on", "val", TUNED | PREDICT_TUNED | CHOOSE | LAST),
        ("mitigations.eodd.temperature", 0.5, TUNED | PREDICT_TUNED | CHOOSE | LAST),
        ("mitigations.eodd.psnr_tolerance", 0.5, CHOOSE | LAST),
        ("mitigations.eodd.task_tolerance", 0.5, CHOOSE | LAST),
        ("assess.seed", 1, CHOOSE | LAST),
        ("assess.replicates", 30, CHOOSE | LAST),
        ("report.examples", 0, {"report"}),
        # What follows from other fields is said: only the report prints it.
        ("reconstructors.unet.train.eval_every", 1, {"report"}),
        ("report.title", "Mine", {"report"}),
    ],
)
def test_a_field_makes_stale_exactly_what_depends_on_it(finished, field, value, stages):
    tree, work = finished
    assert stale(with_fields(configuration(tree), {field: value}), work) == stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "stages"),
    [
        ("report/index.html", {"report"}),
        ("results/fairness.csv", {"assess", "report"}),
        ("predictions.parquet", {"assess", "report"}),
        ("predictions/again__8.parquet", {"predict again at 8"} | LAST),
        ("diagnosers/tumor/final", {"train tumor"} | AFTER_DIAGNOSER),
        ("splits.json", EVERYTHING),
    ],
)
@pytest.mark.parametrize("damage", ["deleted", "spoilt"])
def test_what_is_lost_or_spoilt_is_made_again(finished, tmp_path, lost, stages, damage):
    tree, work = finished
    shutil.copytree(work, tmp_path / "work", dirs_exist_ok=True)
    path = tmp_path / "work" / lost
    if damage == "deleted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        (path / "meta" / "metadata" if path.is_dir() else path).write_bytes(b"spoilt")
    assert stale(configuration(tree), tmp_path / "work") == stages


@pytest.mark.slow
def test_a_weight_more_is_a_training_more(finished):
    tree, work = finished
    config = with_fields(configuration(tree), {"mitigations.eodd.weights": (0.1, 1.0, 10.0)})
    more = {"mitigate unet with eodd@10 at 8", "predict unet with eodd@10 at 8"}
    assert stale(config, work) == more | CHOOSE | LAST


@pytest.mark.slow
def test_a_copy_of_the_tree_and_a_moved_work_directory_are_the_same_study(finished, tmp_path):
    tree, work = finished
    shutil.copytree(tree, tmp_path / "copy")
    shutil.copytree(work, tmp_path / "moved")
    config = configuration(tmp_path / "copy")
    assert stale(config, tmp_path / "moved") == set()
    run(config, tmp_path / "moved")
    assert stale(config, tmp_path / "moved") == set()


@pytest.mark.slow
def test_another_tree_is_refused_by_name(finished, tmp_path):
    tree, work = finished
    shutil.copytree(tree, tmp_path / "other")
    next((tmp_path / "other").rglob("*_FLAIR.nii*")).unlink()
    with pytest.raises(ValueError, match=r"was prepared from .*tree, whose content was not that"):
        run(configuration(tmp_path / "other"), work)


@pytest.mark.slow
def test_drawing_processes_make_nothing_stale_and_the_drawn_options_everything(tmp_path):
    config = tiny_study.get_config()
    run(config, tmp_path)
    assert stale(config, tmp_path) == set()
    assert stale(with_fields(config, {"phantom.workers": 2}), tmp_path) == set()
    drawn = stale(with_fields(config, {"phantom.seed": 1}), tmp_path)
    assert drawn == {stage.title for stage in plan(Context(config, tmp_path))}
