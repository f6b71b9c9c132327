"""Studies of anybody's table: parsed, run, and with reconstructions that were stored."""

import numpy as np
import openpyxl
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.cli.main import main
from fairrecon_jax.data.guess import guess
from fairrecon_jax.defaults import study, training
from fairrecon_jax.reconstructors import Stored
from fairrecon_jax.study import inputs
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.init import config_text, write_first
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.predict import write_images
from fairrecon_jax.study.run import run
from fairrecon_jax.study.stages import StageFilter
from fairrecon_jax.types import Cell, ConfigError, InputError
from tests.support.own_tree import COLUMNS, write_own
from tests.support.trees import flair_volume, tumor_mask, write_nifti


def config(root, **columns):
    """A study of the own tree with one tiny segmenter."""
    c = study()
    c.cohort.update(name="table", root=str(root), image_size=32)
    c.cohort.columns = {**COLUMNS, "bits": 16, **columns}
    c.splits.fractions = (0.4, 0.3, 0.3)
    c.degradation.update(kind="gaussian_noise", levels=(0.1,), headline_level=0.1)
    c.diagnosers.lung = ConfigDict({"kind": "segmenter", "width": 4, "depth": 1})
    c.diagnosers.lung.train = training(steps=2, batch_size=8, learning_rate=1e-2)
    c.tandem.batch_size = 16
    c.assess.update(replicates=20, permutations=19, null_draws=10)
    c.report.update(examples=1, dpi=50, pdf=False)
    return c


def stored(root, scale="same", folder="vendor", **columns):
    """The same with a stored reconstruction and nothing of our own."""
    place = {"vendor": {"folder": folder, "scale": scale}}
    c = config(root, reconstructions=place, **columns)
    c.degradation = ConfigDict()
    c.reconstructors = ConfigDict({"vendor": {"kind": "stored"}})
    return c


def test_a_study_of_stored_images_needs_no_degradation(tmp_path):
    parsed = parse(stored(tmp_path))
    assert parsed.reconstructors["vendor"].model == Stored("vendor", "vendor")
    assert parsed.degradation.levels == (1.0,)
    named = stored(tmp_path)
    named.degradation = ConfigDict({"kind": "mri_radial", "levels": (8.0,)})
    assert parse(named).degradation.levels == (8.0,)


def change(path, value):
    def apply(c):
        *outer, last = path.split(".")
        block = c
        for name in outer:
            block = block[name]
        with c.unlocked(), c.ignore_type():
            block[last] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (change("reconstructors.vendor.images", "other"), "comes without the images 'other'"),
        (change("reconstructors.vendor.train", {"steps": 1}), r"vendor\.train: stored images are"),
        (
            change("reconstructors.unet", {"kind": "identity"}),
            r"degradation\.kind is not given: 'unet' reconstructs degraded images; .* leave 'unet' "
            r"out \(del config\.reconstructors\.unet\), as stored reconstructions need none",
        ),
        (
            change("degradation.levels", (8.0,)),
            r"degradation\.kind is not given: stored reconstructions need none, leave config",
        ),
        (change("cohort.columns.labels.nodule.positive", ()), "name the words of both"),
        (change("cohort.columns.colour", 1), r"config\.cohort: columns has no field 'colour'"),
        (change("cohort.mapping", "x.yaml"), "has columns and mapping"),
        (change("cohort.module", "no.such"), r"config\.cohort\.module: module 'no\.such'"),
        (change("cohort.name", "lgg_mri"), "columns describe the cohort 'table'"),
        (change("cohort.race", "pooled"), "race is no choice of the cohort 'table'"),
        (change("cohort.attributes", ("race",)), "table has no attribute race"),
    ],
)
def test_refusals(tmp_path, apply, message):
    c = stored(tmp_path)
    apply(c)
    with pytest.raises(ConfigError, match=message):
        parse(c)


def test_stored_images_are_of_one_level(tmp_path):
    c = stored(tmp_path)
    c.degradation = ConfigDict({"kind": "mri_radial", "levels": (4.0, 8.0), "headline_level": 8.0})
    with pytest.raises(ConfigError, match="of one level: name it in levels"):
        parse(c)
    c.reconstructors.vendor.levels = (8.0,)
    assert parse(c).reconstructors["vendor"].levels == (8.0,)


def test_what_words_mean_makes_no_image_stale(tmp_path):
    plain = parse(config(tmp_path))
    ages = {**COLUMNS["attributes"], "age": {"column": "Age", "cuts": [50]}}
    other = parse(config(tmp_path, attributes=ages))
    words = {"nodule": {**COLUMNS["labels"]["nodule"], "positive": ["edema"]}}
    relabelled = parse(config(tmp_path, labels=words))
    assert inputs.prepared(plain) == inputs.prepared(other) == inputs.prepared(relabelled)
    assert inputs.groups(plain) != inputs.groups(other)
    assert inputs.diagnoser(plain, "lung") == inputs.diagnoser(other, "lung")
    assert inputs.diagnoser(plain, "lung") != inputs.diagnoser(relabelled, "lung")


@pytest.mark.slow
def test_stored_reconstructions_are_judged_as_the_ones_they_are(tmp_path):
    """Images written by `fairrecon reconstruct` and read back as anybody's files."""
    root = write_own(tmp_path / "tree")
    one, work = config(root), root / "runs"
    run(one, work, only=StageFilter(("cohort",)))
    run(one, work, only=StageFilter(("train",)))
    run(one, work, only=StageFilter(("predict",)))
    context = Context(one, work)
    for part in ("train", "val", "test"):
        write_images(context, Cell("identity", 0.1), part)
    written = "runs/reconstructions/identity/0.1/reconstructed"
    other = stored(root, "full", written, degraded={"folder": "noisy"})
    page = run(other, tmp_path / "again")
    want = pd.read_parquet(work / "predictions/identity__0.1.parquet").set_index("example_id")
    found = pd.read_parquet(tmp_path / "again/predictions/vendor__1.parquet")
    found = found.set_index("example_id").loc[want.index]
    for column, tolerance in (("lung__original", 0), ("lung__reconstructed", 1e-3), ("psnr", 0.01)):
        np.testing.assert_allclose(found[column], want[column], atol=tolerance, err_msg=column)
    assert want["psnr"].max() < 30
    assert "vendor" in page.read_text(encoding="utf-8")
    assert list((tmp_path / "again/report/figures").glob("example_01.png"))
    with pytest.raises(InputError, match="files already"):
        write_images(Context(other, tmp_path / "again"), Cell("vendor", 1.0), "test")


def test_given_parts_are_those_of_the_study(tmp_path):
    root = write_own(tmp_path / "tree")
    run(config(root, split="Fold"), tmp_path / "w", only=StageFilter(("cohort",)))
    context = Context(config(root, split="Fold"), tmp_path / "w")
    assert context.splits.patients["P01"] == "val"
    swapped = {"column": "Fold", "train": ["train"], "val": ["test"], "test": ["val"]}
    with pytest.raises(InputError, match="use another work directory"):
        Context(config(root, split=swapped), tmp_path / "w").splits  # noqa: B018


def test_the_first_configuration_is_one(tmp_path):
    root = write_own(tmp_path / "tree")
    read = guess(root / "images", root / "exams.csv")
    columns = read.columns
    assert (columns["image"], columns["patient"], columns["bits"]) == ("File", "Patient ID", 8)
    assert columns["mask"] == {"task": "region", "folder": "masks"}
    assert columns["split"] == "Fold"
    assert set(columns["attributes"]) == {"sex", "age", "scanner"}
    assert set(columns["labels"]) == {"nodule", "edema"}
    assert read.size == 32
    path = write_first(tmp_path / "my.py", config_text(read, "my.py"))
    names = {}
    exec(path.read_text(), names)
    parsed = parse(names["get_config"]())
    assert parsed.root == root
    with pytest.raises(InputError, match="is there already"):
        write_first(path, "")


def test_volumes_and_spreadsheets_are_seen(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["Scan", "Subject", "Grade", "Gender"])
    for number in range(12):
        write_nifti(tmp_path / f"t/flair/{number}.nii.gz", flair_volume(seed=number))
        write_nifti(tmp_path / f"t/flair_seg/{number}.nii.gz", tumor_mask())
        grade, sex = ("low", "high")[number % 2], "mf"[number % 2]
        book.active.append([number, f"s{number}", grade, sex])
    book.save(tmp_path / "t/exams.xlsx")
    read = guess(tmp_path / "t/flair", tmp_path / "t/exams.xlsx", labels=["Grade"])
    columns = read.columns
    assert (columns["image"], columns["patient"], columns["modality"]) == ("Scan", "Subject", "mri")
    assert (columns["volumes"], columns["bits"]) == (True, 16)
    assert columns["mask"] == {"task": "flair", "folder": "flair_seg", "inside": [1, 2, 4]}
    assert set(columns["attributes"]) == {"sex"}
    assert "mri_radial" in config_text(read, "mine.py")


def test_columns_that_look_like_nothing_can_be_named(tmp_path):
    root = write_own(tmp_path / "tree")
    table = pd.read_csv(root / "exams.csv", dtype=str, keep_default_na=False)
    table = table.rename(columns={"Finding": "Befund", "Scanner": "Raum"})
    table.to_csv(root / "exams.csv", index=False)
    assert not guess(root / "images", root / "exams.csv").columns["labels"]
    read = guess(root / "images", root / "exams.csv", labels=["Befund"], attributes=["Raum"])
    assert set(read.columns["labels"]) == {"nodule", "edema"}
    assert "raum" in read.columns["attributes"]
    with pytest.raises(InputError, match="has no column 'Wand'"):
        guess(root / "images", root / "exams.csv", labels=["Wand"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="names the images"):
        guess(tmp_path / "empty", root / "exams.csv")


def test_commands(tmp_path, capfd):
    root = write_own(tmp_path / "tree")
    images = [f"--images={root / 'images'}", f"--table={root / 'exams.csv'}"]
    output = tmp_path / "mine.py"
    assert main(["init", *images, f"--output={output}"]) == 0
    assert "labels: edema, nodule" in capfd.readouterr().out
    assert main(["doctor", f"--config={output}", f"--workdir={tmp_path / 'w'}"]) == 0
    assert main(["prepare", f"--config={output}", f"--workdir={tmp_path / 'w'}"]) == 0
    assert "24 examples" in "".join(capfd.readouterr())
    assert main(["init", "--table=x.csv"]) == 2
    assert "give --images=DIR and --table=FILE" in capfd.readouterr().err
    assert main(["pairs", *images]) == 2
    assert "--reconstructions=DIR" in capfd.readouterr().err
    assert main(["pairs", *images, "--reconstructions=nowhere"]) == 2
    assert "neither a column of exams.csv nor a folder" in capfd.readouterr().err
    assert main(["pairs", *images, "--reconstructions=a=vendor,a=noisy"]) == 2
    assert "--reconstructions gives 'a' twice" in capfd.readouterr().err
    for name, free in (("v1.2", "v1_2"), ("../x", "x"), ("", "vendor"), ("split", "vendor")):
        assert main(["pairs", *images, f"--reconstructions=fine=noisy,{name}=vendor"]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"fairrecon pairs: --reconstructions: {name!r} is no name: one is a")
        assert line.endswith(f"e.g. {free}=DIR")
    assert main(["pairs", *images, "--reconstructions=vendor", "--steps=-1"]) == 2
    assert "--steps must not be negative, got -1" in capfd.readouterr().err
