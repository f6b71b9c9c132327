"""The console script as a user types it."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fairrecon_jax.cli import main as cli
from fairrecon_jax.cli.commands import COMMANDS
from tests.support import tiny_study

TINY = tiny_study.__file__


def test_overview_lists_every_command(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}" in out for name in [*COMMANDS, "completion"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_an_example_and_its_flags(name, capsys):
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"fairrecon {name} --" in out
    assert "--workdir" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stuydy"], "no command 'stuydy'; did you mean 'study'"),
        (["study"], "give a configuration"),
        (["study", "--config=configs/lgg_mri.py", "--config.splitz.seed=1"], "splitz"),
        (["study", "--config=configs/lgg_mri.py"], "config.cohort.root is empty"),
        (["study", "--config=configs/nowhere.py"], "nowhere"),
        (["study", "config=configs/lgg_mri.py"], "is not a flag"),
        (["study", "--konfig=x"], "konfig"),
        (
            ["study", "--config=configs/quickstart_xray.py", "--config.cohort.image_size=big"],
            "image_size takes int, got 'big'",
        ),
        (
            [
                "study",
                "--config=configs/quickstart_xray.py",
                "--config.degradation.levels=(1e4,'x')",
            ],
            "config.degradation.levels takes a list",
        ),
        (
            ["train", "--config=configs/quickstart_xray.py", "--level=high"],
            "--level takes a number, got 'high'",
        ),
        (["doctor", "--config=configs/lgg_mri.py"], "config.cohort.root is empty"),
        (["phantom", "--kind=foot"], "foot"),
        (
            ["phantom", "--kind=xray", "--patients=-3", "--root=nowhere"],
            "patients is -3; it must be a whole number of at least 1",
        ),
        (
            ["phantom", "--kind=xray", "--patients=1", "--size=1000000", "--root=nowhere"],
            "size is 1000000; it must be at most 4,096",
        ),
        (
            ["phantom", "--kind=xray", "--patients=1000000000", "--root=nowhere"],
            "patients is 1000000000; it must be at most 1,000,000",
        ),
        (
            ["phantom", "--kind=brain", "--seed=8589934592", "--root=nowhere"],
            "seed is 8589934592; it must be at most 4294967295",
        ),
        (
            ["import-weights", "--config=configs/quickstart_xray.py"],
            "give --model=NAME (in config.reconstructors) and --weights=FILE",
        ),
        (
            ["reconstruct", "--config=configs/quickstart_xray.py", "--model=gan"],
            "the study has no gan at any level; it has identity at 10000, ",
        ),
        (
            ["assess", "--predictions=nowhere.csv"],
            "no predictions table at nowhere.csv",
        ),
        (
            ["train", "--config=configs/quickstart_xray.py", "--model=gan"],
            "no stage of the study is called 'train gan'",
        ),
        (
            ["study", "--config=configs/quickstart_xray.py", "--only=train unet"],
            "; did you mean 'train unet at 10000'?",
        ),
    ],
)
def test_a_wrong_call_gives_one_line_and_code_2(words, message, capsys, tmp_path):
    words = [*words, f"--workdir={tmp_path}"] if words[0] in COMMANDS else words
    assert cli.main(words) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert "Traceback" not in err


def test_a_work_directory_that_cannot_be_made_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    file = tmp_path / "file"
    for place, says in (
        (file, f"workdir {str(file)!r} is a file: name a folder"),
        (file / "below", "may you write there"),
    ):
        assert cli.main(["study", "--config=configs/quickstart_xray.py", f"--workdir={place}"]) == 2
        err = capsys.readouterr().err.strip()
        assert str(file) in err
        assert says in err
        assert len(err.splitlines()) == 1
    assert cli.main(["plan", "--config=quickstart_xray", f"--workdir={file}"]) == 2
    assert "is a file: name a folder" in capsys.readouterr().err


def test_phantom_doctor_and_prepare_work_in_turn(capsys, tmp_path):
    root = tmp_path / "tree"
    assert cli.main(["phantom", "--kind=xray", "--patients=30", "--size=32", f"--root={root}"]) == 0
    assert (
        "wrote 30 patients and 4 more of the official validation tree to" in capsys.readouterr().out
    )
    flags = [
        "--config=configs/quickstart_xray.py",
        f"--config.cohort.root={root}",
        "--config.cohort.image_size=32",
    ]
    flags.append(f"--workdir={tmp_path / 'work'}")
    assert cli.main(["doctor", *flags]) == 0
    assert "sex female" in capsys.readouterr().out
    assert cli.main(["prepare", *flags]) == 0
    parts = json.loads((tmp_path / "work" / "splits.json").read_text())["parts"]
    assert sum(map(len, parts.values())) == 30


def test_phantoms_of_a_configuration_are_of_its_kind_with_the_flags_knobs(capsys, tmp_path):
    flags = ["phantom", f"--config={TINY}", f"--root={tmp_path / 'tree'}"]
    assert cli.main([*flags, "--kind=xray"]) == 2
    assert (
        "--kind=xray contradicts config.phantom.kind, which is 'brain'" in capsys.readouterr().err
    )
    assert cli.main([*flags, "--patients=2", "--seed=5"]) == 0
    truth = json.loads((tmp_path / "tree" / "ground_truth.json").read_text())
    assert (truth["kind"], len(truth["patients"])) == ("brain", 2)
    assert (truth["options"]["seed"], truth["options"]["size"], truth["options"]["slices"]) == (
        5,
        32,
        8,
    )


@pytest.mark.parametrize(
    "command",
    [["reconstruct"], ["phantom"], ["mitigate", "--mitigation=x"], ["predict"], ["doctor"]],
)
def test_a_configuration_that_lacks_a_field_is_refused_by_every_command(
    command, capsys, tmp_path, monkeypatch
):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    file = tmp_path / "my.py"
    file.write_text(
        "from ml_collections import ConfigDict as C\ndef get_config():\n    return "
        "C({'cohort': {'root': '', 'name': 'lgg_mri'}, "
        "'reconstructors': {'a': {'kind': 'identity'}}})\n"
    )
    assert cli.main([*command, f"--config={file}", f"--workdir={tmp_path / 'work'}"]) == 2
    assert capsys.readouterr().err == (
        f"fairrecon {command[0]}: config.degradation.kind is not given\n"
    )
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("command", ["predict", "reconstruct", "study"])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "config.tandem: batch_size must be at least 1, got 0"),
        (
            30,
            "batches must be multiples of the number of devices, 4: config.tandem.batch_size is "
            "30 (take 28 or 32)",
        ),
    ],
)
def test_a_single_command_refuses_batches_too(command, size, message, capsys, tmp_path):
    words = [f"--config={TINY}", f"--workdir={tmp_path}", f"--config.tandem.batch_size={size}"]
    assert cli.main([command, *words]) == 2
    assert capsys.readouterr().err == f"fairrecon {command}: {message}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "--level=8"], "phantom is not up to date: run `fairrecon prepare` first"),
        (["mitigate"], "no stage of the study is called 'mitigate/predict/choose'"),
        (["predict", "--model=une"], "no stage of the study is called 'predict une'"),
        (
            ["train", "--model=unet", "--level=1"],
            "no stage of the study is called 'train unet at 1'",
        ),
        (["assess"], "phantom is not up to date: run `fairrecon prepare` first"),
    ],
)
def test_a_single_command_needs_what_comes_before_it(words, message, capsys, tmp_path):
    assert cli.main([words[0], f"--config={TINY}", *words[1:], f"--workdir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "config.json").exists()


def test_using_a_model_before_training_says_what_to_do(capsys, tmp_path):
    root = tmp_path / "tree"
    assert cli.main(["phantom", "--kind=xray", "--patients=20", "--size=32", f"--root={root}"]) == 0
    flags = [
        "--config=configs/quickstart_xray.py",
        f"--config.cohort.root={root}",
        "--config.cohort.image_size=32",
    ]
    flags.append(f"--workdir={tmp_path / 'work'}")
    assert cli.main(["prepare", *flags]) == 0
    capsys.readouterr()
    assert cli.main(["reconstruct", *flags]) == 2
    assert "train the model first" in capsys.readouterr().err


def test_images_are_written_where_the_command_says(capsys, tmp_path):
    words = [
        f"--config={TINY}",
        f"--workdir={tmp_path}",
        "--config.phantom.patients=10",
        "--config.diagnosers={}",
    ]
    assert cli.main(["prepare", *words]) == 0
    assert cli.main(["reconstruct", *words, "--model=identity", "--level=8", "--part=val"]) == 0
    folder = tmp_path / "reconstructions" / "identity" / "8"
    assert f"wrote {folder}\n" in capsys.readouterr().out
    splits = json.loads((tmp_path / "splits.json").read_text())["parts"]
    written = sorted(path.name for path in (folder / "degraded").iterdir())
    assert {name.split("__")[0] for name in written} == set(splits["val"])
    with Image.open(folder / "reconstructed" / written[0]) as picture:
        assert np.asarray(picture).dtype == np.uint16


def test_a_table_from_elsewhere_is_assessed_without_a_configuration(capsys, tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 300)
    table = pd.DataFrame(
        {
            "patient": [f"p{i}" for i in range(300)],
            "sex": rng.choice(["F", "M"], 300),
            "split": np.where(np.arange(300) < 150, "val", "test"),
            "label": label,
            "before": label * 0.4 + rng.random(300) * 0.6,
            "after": label * 0.3 + rng.random(300) * 0.7,
        }
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "columns.yaml").write_text(
        "patient: patient\nsplit: split\n"
        "tasks: {finding: {label: label, original: before, reconstructed: after}}\n"
        "attributes: {sex: sex}\noptions: {replicates: 20, permutations: 19, null_draws: 10}\n"
    )
    words = ["assess", f"--predictions={tmp_path / 'table.csv'}", f"--workdir={tmp_path / 'mine'}"]
    assert cli.main([*words, f"--mapping={tmp_path / 'columns.yaml'}"]) == 0
    assert f"report: {tmp_path / 'mine' / 'report' / 'index.html'}\n" in capsys.readouterr().out
    assert (tmp_path / "mine" / "results" / "fairness.csv").is_file()
    for text, message in (
        ("tasks: {finding: {label: lable, reconstructed: after}}\n", "lable"),
        ("tasks: {finding: {label: label}}\n", "tasks.finding lacks ['reconstructed']"),
        ("patient: [\n", "is not YAML"),
        (
            "tasks: {finding: {label: label, original: before, reconstructed: after}}\n",
            "threshold rule 'balanced' needs validation patients, and no row has split 'val'",
        ),
        (
            "tasks: {finding: {label: label, reconstructed: after}}\noptions: {alpha: 2}\n",
            "mapping 'options': alpha must lie between 0 and 1, got 2",
        ),
    ):
        (tmp_path / "columns.yaml").write_text(text)
        assert cli.main([*words, f"--mapping={tmp_path / 'columns.yaml'}"]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert len(err.splitlines()) == 1
