"""The console script as a user types it."""

import json
import sys

import pytest

from fairrecon_jax.cli import main as cli
from fairrecon_jax.cli.commands import COMMANDS
from fairrecon_jax.training.run import TrainingDiverged


def test_overview_lists_every_command(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}" in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_an_example_and_its_flags(name, capsys):
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"fairrecon {name} --" in out
    assert "--workdir" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stuydy"], "no command 'stuydy'; there are phantom"),
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
        (["phantom", "--kind=xray", "--patients=-3", "--root=nowhere"], "patients"),
        (
            ["train", "--config=configs/quickstart_xray.py", "--model=gan"],
            "no piece of the study is called 'train gan'",
        ),
    ],
)
def test_a_wrong_call_gives_one_line_and_code_2(words, message, capsys, tmp_path):
    words = [*words, f"--workdir={tmp_path}"] if words[0] in COMMANDS else words
    assert cli.main(words) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:\n", "my.py, line 1: invalid syntax"),
        ("x = 1\n", "my.py has no function get_config()"),
        ("def get_config():\n    return {}\n", "my.py: get_config() must return a ConfigDict"),
        ("def get_config():\n    return {}['a']\n", "my.py, line 2: KeyError: 'a'"),
        (
            "from fairrecon_jax.defaults import study\ndef get_config():\n    c = "
            "study()\n    c.foo.bar = 1\n    return c\n",
            "my.py, line 4: AttributeError: \"'foo'\"",
        ),
        (
            "from ml_collections import ConfigDict as C\ndef get_config():\n    return "
            "C({'seed': 0})\n",
            "configuration has no cohort.root",
        ),
    ],
)
def test_a_broken_configuration_file_is_named_in_one_line(
    text, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.delitem(
        sys.modules, "config_config", raising=False
    )  # a program loads one configuration in its life
    file = tmp_path / "my.py"
    file.write_text(text)
    assert cli.main(["study", f"--config={file}", f"--workdir={tmp_path / 'work'}"]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_work_directory_that_cannot_be_made_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert cli.main(["study", "--config=configs/quickstart_xray.py", f"--workdir={place}"]) == 2
        err = capsys.readouterr().err.strip()
        assert err.startswith(f"fairrecon study: {tmp_path / 'file'}")
        assert "may you write there" in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command continues"),
        (TrainingDiverged("unet: loss is nan at step 3"), 2, "unet: loss is nan at step 3"),
        (ValueError("one\n  two"), 2, "one two"),
    ],
)
def test_what_ends_a_command_is_said_in_one_line(
    error, code, message, capsys, monkeypatch, tmp_path
):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr("fairrecon_jax.study.run", broken)
    assert (
        cli.main(["study", "--config=configs/quickstart_xray.py", f"--workdir={tmp_path}"]) == code
    )
    assert capsys.readouterr().err == f"fairrecon study: {message}\n"


def test_phantom_doctor_and_prepare_work_in_turn(capsys, tmp_path):
    root = tmp_path / "tree"
    assert cli.main(["phantom", "--kind=xray", "--patients=30", "--size=32", f"--root={root}"]) == 0
    assert "wrote 34 patients" in capsys.readouterr().out
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
    flags = ["phantom", "--config=tests/tiny_study.py", f"--root={tmp_path / 'tree'}"]
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
def test_a_configuration_without_the_blocks_of_a_study_is_refused_by_every_command(
    command, capsys, tmp_path, monkeypatch
):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    file = tmp_path / "my.py"
    file.write_text(
        "from ml_collections import ConfigDict as C\ndef get_config():\n    return "
        "C({'cohort': {'root': '', 'name': 'lgg_mri'}})\n"
    )
    assert cli.main([*command, f"--config={file}", f"--workdir={tmp_path / 'work'}"]) == 2
    assert (
        "the configuration has no seed: start from fairrecon_jax.defaults.study()"
        in capsys.readouterr().err
    )


def test_a_single_command_refuses_batches_too(capsys, tmp_path):
    words = [
        "--config=tests/tiny_study.py",
        f"--workdir={tmp_path}",
        "--config.tandem.batch_size=0",
    ]
    for command in ("predict", "reconstruct"):
        assert cli.main([command, *words]) == 2
        assert (
            "config.tandem.batch_size is 0: it must be a multiple of the number of devices"
            in capsys.readouterr().err
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "--level=8"], "phantom is not up to date: run `fairrecon prepare` first"),
        (["predict", "--model=une"], "no piece of the study is called 'predict une'"),
        (
            ["train", "--model=unet", "--level=1"],
            "no piece of the study is called 'train unet at 1'",
        ),
        (["assess"], "phantom is not up to date: run `fairrecon prepare` first"),
    ],
)
def test_a_single_command_needs_what_comes_before_it(words, message, capsys, tmp_path):
    assert (
        cli.main([words[0], "--config=tests/tiny_study.py", *words[1:], f"--workdir={tmp_path}"])
        == 2
    )
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
