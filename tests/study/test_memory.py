"""Steps that need more memory than there is are refused before anything is made."""

from __future__ import annotations

import re
import time
from typing import Any

import jax
import pytest

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.runtime.capacity import VARIABLE
from fairrecon_jax.study import memory
from fairrecon_jax.study.bundled import bundled, configuration
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.dry_run import dry_run
from fairrecon_jax.study.memory import check_memory, memory_lines
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.run import run
from fairrecon_jax.training import room
from fairrecon_jax.types import ConfigError
from tests.support import tiny_study
from tests.support.study_fakes import FakeStages, configured


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    monkeypatch.setenv(VARIABLE, "24")


def full(tmp_path, **fields: Any) -> Context:
    """The paper's study with its cohort's root, without what takes long to count."""
    config = configured(configuration("chexpert"), cohort__root=str(tmp_path), **fields)
    with config.unlocked():
        for name in list(config.reconstructors):
            if name != "unet":
                del config.reconstructors[name]
        config.mitigations = {}
    return Context(config, tmp_path / "w")


def said(context: Context) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        check_memory(context, plan(context))
    return refused.value.refusals


def test_the_papers_networks_have_room_and_three_slips_do_not(tmp_path):
    check_memory(context := full(tmp_path), plan(context))
    started = time.monotonic()
    slipped = full(
        tmp_path,
        reconstructors__unet__train__batch_size=65536,
        tandem__batch_size=65536,
    )
    training, prediction = said(slipped)
    assert training.startswith("config.reconstructors.unet.train.batch_size is 65536: a step of")
    assert ", and this machine has 24.0 GB; lower it, raise accumulate" in training
    assert " more needs at least " in training
    assert prediction.startswith("config.tandem.batch_size is 65536: a step of predict unet at ")
    wide = said(full(tmp_path, reconstructors__unet__width=4096))
    assert "choose a smaller network" in wide[0]
    assert time.monotonic() - started < 60
    assert not (tmp_path / "w").exists()


def test_there_is_a_way_round(tmp_path, monkeypatch):
    context = full(tmp_path, tandem__batch_size=65536)
    said(context)
    monkeypatch.setenv(VARIABLE, "inf")
    check_memory(context, plan(context))


def test_a_run_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weight=1.0)
    monkeypatch.setenv(VARIABLE, "0.0001")
    with pytest.raises(ConfigError) as refused:
        run(config, tmp_path / "w")
    fields = [one.split()[0] for one in refused.value.refusals]
    assert set(fields) == {
        "config.reconstructors.unet.train.batch_size",
        "config.diagnosers.tumor.train.batch_size",
        "config.mitigations.eodd.train.batch_size",
        "config.tandem.batch_size",
    } | {field for field in fields if field.endswith("eval_batch_size")}
    assert not (tmp_path / "w" / "config.json").exists()
    # what needs no network is made
    run(config, tmp_path / "w", only="phantom")
    lines = dry_run(config, tmp_path / "w")
    assert sum(line.startswith("would be refused: config.") for line in lines) == len(fields)
    assert lines[0].endswith("done"), "the stages are listed all the same"


def test_a_stage_of_several_levels_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0.0001")
    context = Context(configured(degradation__levels=(4.0, 8.0)), tmp_path)
    told = [one for one in said(context) if "tandem" in one]
    assert len(told) == 2, "of the identity and of the U-Net"
    assert "a step of predict unet at 4 and 1 more needs at least" in told[1]


def test_the_largest_step_is_named(tmp_path, monkeypatch):
    context = Context(tiny_study.get_config(), tmp_path)
    assert memory_lines(context, plan(context)) == ["every step has room: this machine has 24.0 GB"]
    monkeypatch.setattr(memory, "surely", lambda *_, **__: False)
    monkeypatch.setattr(room, "surely", lambda *_, **__: False)
    (line,) = memory_lines(context, plan(context))
    assert re.match(r"the largest step needs at least [1-9]\d*\.\d MB \(", line)
    assert line.endswith("); this machine has 24.0 GB")
    assert memory_lines(context, []) == []


def test_stages_without_networks_need_nothing(tmp_path):
    fakes = FakeStages(tmp_path, {"train": (), "predict": (), "report": ()})
    check_memory(Context(tiny_study.get_config(), tmp_path), fakes.stages())


@pytest.mark.parametrize("name", sorted(set(bundled()) - {"chexpert", "ucsf_pdgm"}))
def test_a_bundled_study_has_room_on_a_small_machine(tmp_path, name):
    config = configured(configuration(name))
    if "root" in config.cohort and not config.cohort.root and "phantom" not in config:
        config.cohort.root = str(tmp_path)
    for diagnoser in config.diagnosers.values():
        if "init" in diagnoser:
            diagnoser.init = ""  # a file that may not be here, and takes no memory of a step
    context = Context(config, tmp_path / "w")
    check_memory(context, plan(context))
