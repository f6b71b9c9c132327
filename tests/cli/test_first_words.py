"""What a command line answers before it does anything: at once, and with the nearest name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from fairrecon_jax.cli import main as cli
from fairrecon_jax.cli.commands import COMMANDS
from fairrecon_jax.cli.completion import completion
from fairrecon_jax.study.bundled import bundled, configuration, find

HEAVY = ("jax", "pandas", "matplotlib", "tensorflow_datasets", "grain", "orbax")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["completion", "bash"]])
def test_the_first_words_import_nothing_heavy(words):
    program = (
        "import sys; from fairrecon_jax.cli.main import main; "
        f"main({words}); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fairrecon {version('fairrecon_jax')}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["asess"], "did you mean 'assess'?"),
        (["study", "--config=chexpret"], "did you mean 'chexpert'?"),
        (["study", "--confg=chexpert"], "there is no flag --confg; did you mean --config?"),
        (["study", "--dry-rum"], "there is no flag --dry-rum; did you mean --dry_run?"),
        (["phantom", "--kind=foot"], "--kind=foot: value should be one of <xray|brain>"),
    ],
)
def test_the_nearest_name_is_offered(words, says, capsys):
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert says.lower() in err.lower()
    assert len(err.splitlines()) == 1


def test_all_wrong_words_are_told_at_once(capsys):
    words = ["study", "--config=chexpert", "--wrokdir=runs/a", "extra", "--noverbose", "--zzz", "1"]
    assert cli.main([*words, "--noverify", "--dry_run=maybe"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "fairrecon study: the command line: 4 errors:",
        "  1. there is no flag --wrokdir; did you mean --workdir?",
        "  2. 'extra' is not a flag; flags are written --name=value",
        "  3. there is no flag --zzz; there are --config, --dry_run, --only, --verbose, --verify, "
        "--workdir",
        "  4. --dry_run=maybe: Non-boolean argument to boolean flag",
    ]


def test_wrong_words_and_wrong_fields_are_told_together(capsys, tmp_path):
    fields = ["asess.seed=1", "cohort.nme=1", "phantom.knd=xray", "tandem.batch_size=True"]
    words = ["study", "--config=quickstart_xray", *(f"--config.{one}" for one in fields)]
    assert cli.main([*words, f"--workdir={tmp_path / 'no'}"]) == 2
    told = capsys.readouterr().err.splitlines()
    starts = (
        "fairrecon study: 4 fields of the configuration are refused:",
        "  1. config has no field asess.seed; the configuration has: assess, ",
        "  2. config.cohort has no field nme; it takes ",
        "  3. config.phantom: xray phantoms have no option 'knd'; they take ",
        "  4. config.tandem: batch_size takes int, got True",
    )
    assert len(told) == len(starts)
    assert all(line.startswith(start) for line, start in zip(told, starts, strict=True)), told
    assert cli.main([*words, f"--wrokdir={tmp_path / 'no'}"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "fairrecon study: the command line: 5 errors:"
    assert told[1] == "  1. there is no flag --wrokdir; did you mean --workdir?"
    assert all(start[5:] in line for line, start in zip(told[2:], starts[1:], strict=True))
    assert not (tmp_path / "no").exists()


def test_values_may_stand_behind_their_flags(capsys, tmp_path):
    words = ["plan", "--config", "quickstart_xray", "-workdir", str(tmp_path / "no"), "--json"]
    for name in ("quickstart_xray", str(bundled()["quickstart_xray"])):
        words[2] = name
        assert cli.main(words) == 0
        assert '"workdir"' in capsys.readouterr().out


def test_a_command_without_a_configuration_says_so(capsys):
    for name in ("study", "prepare", "assess", "report"):
        assert cli.main([name]) == 2
        assert f"fairrecon {name}: give a configuration, e.g. " in capsys.readouterr().err


def test_a_wrong_configuration_and_wrong_flags_are_told_together(capsys):
    assert cli.main(["study", "--config=quickstart_xry", "--dryrun", "--config.a=1"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "fairrecon study: the command line: 2 errors:"
    assert "  1. no file 'quickstart_xry' and no configuration 'quickstart_xry'; did you" in told[1]
    assert told[2] == "  2. there is no flag --dryrun; did you mean --dry_run?"
    assert cli.main(["study", "--config=nowhere/file.py", "--dryrun"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "nowhere/file.py" in told[1]
    assert told[2] == "  2. there is no flag --dryrun; did you mean --dry_run?"
    assert cli.main(["study", "--config=quickstart-xray"]) == 2
    assert "did you mean 'quickstart_xray'?" in capsys.readouterr().err


def test_a_bundled_configuration_is_found_by_its_name(capsys, tmp_path):
    # flags are taken with dashes too, as other programs write them
    words = ["study", "--config=quickstart_xray", f"--workdir={tmp_path}", "--dry-run"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "stages would be made" in out
    assert "never made" in out
    assert not list(tmp_path.iterdir())
    assert "quickstart_xray" in bundled()


def test_a_bundled_configuration_is_found_without_its_folder(capsys):
    assert find("ucsf_pdgm") == find("paper/ucsf_pdgm") == bundled()["ucsf_pdgm"]
    assert configuration("chexpert").cohort.name == "chexpert"
    assert cli.main(["study", "--config=paper/pdgm"]) == 2
    assert "no file 'paper/pdgm' and no configuration 'paper/pdgm'" in capsys.readouterr().err
    folder = find("lgg_mri").parent
    assert len(bundled()) == sum(path.stem != "__init__" for path in folder.rglob("*.py"))


def test_a_shell_completes_commands_and_flags(tmp_path):
    script = tmp_path / "completion.sh"
    script.write_text(completion("bash"))
    ask = 'source "$0"; COMP_WORDS=({}); COMP_CWORD={}; _fairrecon 2>/dev/null; '
    ask += 'echo "${{COMPREPLY[@]}}"'

    def asked(*words: str) -> set[str]:
        line = ask.format(" ".join(("fairrecon", *words)), len(words))
        done = subprocess.run(
            ["bash", "-c", line, script], capture_output=True, text=True, cwd=tmp_path
        )
        return set(done.stdout.split())

    assert asked("pre") == {"prepare", "predict"}
    assert asked("assess", "--pre") == {"--predictions="}
    assert asked("study", "--dry") == {"--dry_run"}
    assert asked("com") == {"completion"}
    assert asked("completion", "") == {"bash", "zsh"}
    brain_and_xray = {"quickstart_brain", "quickstart_xray"}
    assert asked("study", "--config=quick") == {f"--config={name}" for name in brain_and_xray}
    assert asked("study", "--config", "quick") == brain_and_xray
    (tmp_path / "runs" / "one").mkdir(parents=True)
    assert asked("study", "--workdir=ru") == {"--workdir=runs/"}
    assert asked("study", "--config=runs/o") == {"--config=runs/one/"}
    for name, command in COMMANDS.items():
        assert command.function is not None
        assert f"{name}) words=" in script.read_text()
    with pytest.raises(ValueError, match="bash and zsh"):
        completion("fish")
