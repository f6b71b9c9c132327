"""What is looked for before a study begins: its tree, its files of weights, its devices."""

from __future__ import annotations

import importlib

import pandas as pd
import pytest

from fairrecon_jax.data.splits import Splits
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.phantoms import BrainPhantomOptions, write_phantom
from fairrecon_jax.study.check import check, check_batches
from fairrecon_jax.study.cohort import check_columns, prepare_cohort, warn_of_patients
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.run import run
from fairrecon_jax.types import ConfigError, InputError
from tests.support import tiny_study
from tests.support.study_fakes import configured, importing, opened


def test_a_root_that_is_missing_is_named(tmp_path):
    config = importlib.import_module("configs.lgg_mri").get_config()
    work = tmp_path / "work"
    with pytest.raises(InputError, match=r"^config\.cohort\.root is empty: give the folder of the"):
        run(config, work)
    config.cohort.root = str(tmp_path / "nowhere")
    with pytest.raises(
        ConfigError, match=r"^config\.cohort\.root '.*nowhere' is not a folder: give the folder of"
    ):
        run(config, work)
    (tmp_path / "file").write_text("")
    config.cohort.root = str(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"file' is not a folder"):
        check(Context(config, work))
    config.cohort.root = str(tmp_path)
    check(Context(config, work))
    assert not work.exists()


def test_a_tree_that_has_changed_is_refused_and_a_copy_of_it_is_not(tmp_path):
    root = tmp_path / "tree"
    write_phantom("brain", root, BrainPhantomOptions(patients=10, size=32, slices=8))
    context = Context(configured(cohort__root=str(root)), tmp_path / "work")
    prepare_cohort(context)
    check(context)
    root.rename(tmp_path / "copy")
    moved = configured(cohort__root=str(tmp_path / "copy"))
    check(Context(moved, tmp_path / "work"))
    write_phantom("brain", root, BrainPhantomOptions(patients=10, size=32, slices=8, seed=1))
    with pytest.raises(InputError, match=r"work.* was prepared from .*tree.*|has changed since"):
        check(context)


def test_a_phantom_needs_no_tree(tmp_path):
    check(Context(tiny_study.get_config(), tmp_path))


def test_files_of_weights_that_are_missing_are_named(tmp_path):
    config = importing(str(tmp_path / "net_{level}.pth"), degradation__levels=(4.0, 8.0))
    (tmp_path / "net_4.pth").write_bytes(b"")
    with pytest.raises(
        ConfigError,
        match=r"^config\.reconstructors\.unet\.weights: there is no file .*net_8\.pth$",
    ):
        check(Context(config, tmp_path / "work"))
    (tmp_path / "net_8.pth").write_bytes(b"")
    check(Context(config, tmp_path / "work"))


def test_fewer_patients_than_are_judged_are_told(tmp_path):
    context = Context(configured(assess__min_patients=25), tmp_path)
    patients = {f"p{number}": "train" for number in range(24)}
    warn_of_patients(context)
    context.workdir.splits.write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "fairrecon_jax.study.context.read_splits",
            lambda path, seed: Splits(seed, (0.4, 0.3, 0.3), patients, ""),
        )
        with pytest.warns(UserWarning, match=r"min_patients is 25, and the cohort has 24 patients"):
            warn_of_patients(context)
        patients["p24"] = "test"
        warn_of_patients(context)


# -- batches


def test_batches_must_divide_over_the_devices():
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weight=1.0)
    study = parse(config)
    for devices in (1, 2, 8):
        check_batches(study, devices)
    with pytest.raises(ConfigError) as refused:
        check_batches(study, 3)
    assert str(refused.value) == (
        "batches must be multiples of the number of devices, 3: "
        "config.tandem.batch_size is 16 (take 15 or 18), "
        "config.diagnosers.tumor.train.batch_size is 8 (take 6 or 9), "
        "config.diagnosers.tumor.train.eval_batch_size is 32 (take 30 or 33), "
        "config.reconstructors.unet.train.batch_size is 8 (take 6 or 9), "
        "config.reconstructors.unet.train.eval_batch_size is 32 (take 30 or 33), "
        "config.mitigations.eodd.train.batch_size is 8 (take 6 or 9), "
        "config.mitigations.eodd.train.eval_batch_size is 32 (take 30 or 33); "
        "a learning_rate goes with its batch_size, as a rule in proportion"
    )


@pytest.mark.parametrize(
    ("field", "size", "take", "training"),
    [
        ("tandem__batch_size", 30, "28 or 32", False),
        ("diagnosers__tumor__train__batch_size", 6, "4 or 8", True),
        ("reconstructors__unet__train__batch_size", 2, "4", True),
        ("reconstructors__unet__train__eval_batch_size", 10, "8 or 12", True),
        ("mitigations__eodd__train__batch_size", 7, "4 or 8", True),
    ],
)
def test_the_batch_that_does_not_divide_is_named(field, size, take, training):
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weight=1.0)
    study = parse(configured(config, **{field: size}))
    with pytest.raises(ConfigError) as refused:
        check_batches(study, 4)
    rate = "; a learning_rate goes with its batch_size, as a rule in proportion"
    assert str(refused.value) == (
        "batches must be multiples of the number of devices, 4: "
        f"config.{field.replace('__', '.')} is {size} (take {take})"
        + (rate if field.endswith("train__batch_size") else "")
    )
    if training:
        check_batches(study, 4, training=False)


def test_an_evaluation_batch_of_0_is_that_of_the_training():
    config = configured(
        reconstructors__unet__train__eval_batch_size=0,
        reconstructors__unet__train__batch_size=12,
    )
    check_batches(parse(config), 4)


# -- columns of the cohort


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        (
            "strata",
            "scaner",
            r"strata names 'scaner', .* has .*age.*; did you mean 'scanner'\?$",
        ),
        (
            "continuous",
            ("Age-Years",),
            r"continuous names 'Age-Years', .* did you mean 'age_years'\?$",
        ),
        ("continuous", ("age_years", "zzz"), "continuous names 'zzz', but the cohort's table has "),
    ],
)
def test_columns_that_the_cohort_does_not_have_are_refused(tmp_path, field, value, named):
    table = pd.DataFrame({"patient_id": ["a", "b"], "scanner": "x", "age_years": 50.0})
    wrong = opened(tmp_path, table, "test", configured(**{f"assess__{field}": value}))
    with pytest.raises(ConfigError, match=rf"^config\.assess\.{named}"):
        check_columns(wrong)
    right = configured(assess__strata="scanner", assess__continuous=("age_years",))
    check_columns(opened(tmp_path, table, "test", right))


def test_columns_are_looked_at_before_anything_is_trained(tmp_path):
    config = tiny_study.get_config()
    run(config, tmp_path, only="phantom")
    refused = configured(assess__strata="scaner")
    with pytest.raises(ConfigError, match=r"^config\.assess\.strata names 'scaner'"):
        run(refused, tmp_path)
    titles = {path.stem for path in (tmp_path / "stages").glob("*.json")}
    assert titles == {"phantom"}, "no training was begun"
    run(config, tmp_path, only="cohort")
    # of a prepared cohort it is seen at once
    with pytest.raises(ConfigError, match=r"^config\.assess\.strata names 'scaner'"):
        check(Context(refused, tmp_path))
