"""What a run would make, in lines and for other programs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fairrecon_jax.cli import main as cli
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study import dry_run
from fairrecon_jax.study.locking import hold
from fairrecon_jax.study.run import run
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import InputError
from tests.support import tiny_study
from tests.support.study_fakes import FakeStages, configured

FIELDS = "stage verb model level mitigation weight seed needs wave state why maker seconds"
FIELDS += " accelerator path"


def test_every_stage_has_the_documented_fields_and_waves_are_independent(tmp_path):
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    config.seeds = (0, 1)
    told = dry_run.listing(config, tmp_path / "w")
    assert json.loads(json.dumps(told)) == told
    assert (told["schema"], told["workdir"]) == (1, str(tmp_path / "w"))
    stages = {stage["stage"]: stage for stage in told["stages"]}
    assert all(list(stage) == FIELDS.split() for stage in stages.values())
    assert all(f"{field}" in dry_run.listing.__doc__ for field in FIELDS.split())
    for stage in stages.values():
        waves = [stages[need]["wave"] for need in stage["needs"]]
        assert stage["wave"] == max(waves, default=-1) + 1
        assert (stage["state"], stage["why"]) == ("missing", "never made")
    assert not (tmp_path / "w").exists()
    one = stages["mitigate unet with eodd@0.1 at 8, training 1"]
    wanted = {"verb": "mitigate", "model": "unet", "level": 8.0, "mitigation": "eodd"}
    wanted |= {"weight": 0.1, "seed": 1, "accelerator": True}
    wanted |= {"path": "mitigated/eodd@0.1/unet/8/training1"}
    assert wanted.items() <= one.items()
    assert stages["report"]["path"] == "report/index.html"
    assert stages["assess"]["accelerator"] is False


def test_states_are_told(tmp_path, monkeypatch):
    fakes = FakeStages(tmp_path, {"a": (), "b": ("a",), "c": ("b",), "d": ()})
    monkeypatch.setattr(dry_run, "plan", fakes.stages)
    fakes.run("a")
    fakes.run("b")
    fakes.inputs["b"] = 2
    with hold(fakes.stage("d"), Workdir(tmp_path)):
        told = dry_run.listing(tiny_study.get_config(), tmp_path)["stages"]
        lines = dry_run.dry_run(tiny_study.get_config(), tmp_path)
    assert [(one["state"], one["why"]) for one in told] == [
        ("finished", ""),
        ("stale", "what it depends on was changed"),
        ("missing", "never made"),
        ("missing", "never made"),
    ]
    assert [one["maker"] != "" for one in told] == [False, False, False, True]
    assert [one["seconds"] is None for one in told] == [False, False, True, True]
    assert lines[:2] == ["a  done", "b  what it depends on was changed; about 0.0 s"]
    assert lines[3] == f"d  never made; no such stage timed yet; {told[3]['maker']} is making it"
    assert lines[4] == "3 of 4 stages would be made (2 not timed yet)"
    # a small study takes no "0.00 GB"
    taken = rf"{re.escape(str(tmp_path))} takes \d+\.\d kB, the phantom .* at least \d+\.\d [kM]B; "
    assert re.fullmatch(rf"{taken}.* are free", lines[-1])


def test_the_command_prints_json_and_nothing_else(tmp_path, capsys):
    words = ["plan", "--config=quickstart_brain", f"--workdir={tmp_path / 'w'}", "--json"]
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["stage"] == "phantom"


@pytest.mark.parametrize("anew", [False, True])
def test_a_stage_by_title_is_made_unless_it_is_done(tmp_path, anew):
    fakes = FakeStages(tmp_path, {"a": (), "b": ("a",)})
    fakes.run()
    run(tiny_study.get_config(), tmp_path, "b", fakes.stages, anew=anew)
    assert fakes.log == ["a", "b"] + ["b"] * anew


@pytest.mark.slow
def test_what_a_study_would_refuse_is_told_and_leaves_what_is_done(tmp_path):
    config, work = tiny_study.get_config(), tmp_path / "w"
    config.phantom.patients = 10
    title = "train unet at 8"
    for only in ("phantom", "cohort", title):
        run(config, work, only)
    records = {path: path.read_bytes() for path in (work / "stages").iterdir()}

    def refused(**fields: Any) -> list[str]:
        changed = configured(config.copy_and_resolve_references(), **fields)
        lines = dry_run.dry_run(changed, work)
        with pytest.raises(InputError) as told:
            run(changed, work)
        assert {path: path.read_bytes() for path in (work / "stages").iterdir()} == records
        said = [line for line in lines if line.startswith("would be refused: ")]
        assert f"would be refused: {told.value}" in said
        return said

    (line,) = refused(reconstructors__unet__train__steps=3)
    assert "unet/8 holds a run with other choices: config.eval_every " not in line
    assert "holds a run with other choices: config.steps was 2, now 3" in line
    (line,) = refused(phantom__seed=1)
    assert "phantom was drawn with other options: seed was 0, now 1" in line
    assert "was made with fractions" in refused(splits__fractions=(0.5, 0.25, 0.25))[0]
    # a training that is taken over keeps the time that it took
    record = work / "stages" / "train__unet__8.json"
    seconds = json.loads(record.read_text())["seconds"]
    run(config, work, title)
    assert json.loads(record.read_text())["seconds"] >= seconds
    record.unlink()
    log = {"step": 2, "split": "train", "steps_per_second": 0.01}
    (work / "reconstructors/unet/8/metrics.jsonl").write_text(f"{json.dumps(log)}\n")
    run(config, work, title, anew=False)
    assert json.loads(record.read_text())["seconds"] == 200
