"""The console script as a user types it."""

import json

import pytest

from fairrecon_jax import cli
from fairrecon_jax.commands import COMMANDS


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
        (["phantom", "--kind=foot"], "foot"),
        (["phantom", "--kind=xray", "--patients=-3", "--root=nowhere"], "patients"),
        (["train", "--config=configs/quickstart_xray.py", "--model=gan"], "no piece of the study is called 'train gan'"),
    ],
)
def test_a_wrong_call_gives_one_line_and_code_2(words, message, capsys, tmp_path):
    words = [*words, f"--workdir={tmp_path}"] if words[0] in COMMANDS else words
    assert cli.main(words) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert "Traceback" not in err


def test_phantom_doctor_and_prepare_work_in_turn(capsys, tmp_path):
    root = tmp_path / "tree"
    assert cli.main(["phantom", "--kind=xray", "--patients=30", "--size=32", f"--root={root}"]) == 0
    assert "wrote 34 patients" in capsys.readouterr().out
    flags = ["--config=configs/quickstart_xray.py", f"--config.cohort.root={root}", "--config.cohort.image_size=32"]
    flags.append(f"--workdir={tmp_path / 'work'}")
    assert cli.main(["doctor", *flags]) == 0
    assert "sex female" in capsys.readouterr().out
    assert cli.main(["prepare", *flags]) == 0
    parts = json.loads((tmp_path / "work" / "splits.json").read_text())["parts"]
    assert sum(map(len, parts.values())) == 30


def test_using_a_model_before_training_says_what_to_do(capsys, tmp_path):
    root = tmp_path / "tree"
    assert cli.main(["phantom", "--kind=xray", "--patients=20", "--size=32", f"--root={root}"]) == 0
    flags = ["--config=configs/quickstart_xray.py", f"--config.cohort.root={root}", "--config.cohort.image_size=32"]
    flags.append(f"--workdir={tmp_path / 'work'}")
    assert cli.main(["prepare", *flags]) == 0
    capsys.readouterr()
    assert cli.main(["reconstruct", *flags]) == 2
    assert "train the model first" in capsys.readouterr().err
