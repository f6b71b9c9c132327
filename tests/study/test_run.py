"""Running a study of fake stages: what is made, in which order, what is skipped, what is refused
and what is said.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.run import _remaining, run, write_config
from fairrecon_jax.study.stages import Stage, StageFilter
from fairrecon_jax.types import Cell, ConfigError, InputError
from tests.support import tiny_study
from tests.support.study_fakes import FakeStages


@pytest.fixture
def apart(tmp_path: Path) -> FakeStages:
    """Three stages of which none needs another."""
    return FakeStages(tmp_path, {"a one": (), "a two": (), "b": ()})


@pytest.fixture
def chain(tmp_path: Path) -> FakeStages:
    """ "a two" is made from "a one", "b" from "a two"."""
    return FakeStages(tmp_path, {"a one": (), "a two": ("a one",), "b": ("a two",)})


# -- everything that is left


def test_stages_are_made_in_order_once_and_recorded(apart, capsys):
    page = run(tiny_study.get_config(), apart.workdir, stages=apart.stages)
    assert apart.log == ["a one", "a two", "b"]
    assert page == apart.workdir / "report" / "index.html"
    record = json.loads((apart.workdir / "stages" / "a__one.json").read_text())
    assert record["title"] == "a one"
    assert record["seconds"] >= 0
    out = capsys.readouterr().out
    assert f"study in {apart.workdir}: 0 of 3 stages are done; left: a one, a two, b\n" in out
    assert "[1/3] a one (3 stages left, 3 kinds not timed yet)\n" in out
    assert "[3/3] b (1 stage left, 1 kind not timed yet)\n" in out
    assert "report:" not in out, "there is no page"
    assert apart.run() == []
    assert "3 of 3 stages are done; left: nothing\n" in capsys.readouterr().out


def test_a_page_that_is_there_is_named(apart, capsys):
    page = apart.workdir / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("")
    apart.run()
    assert f"report: {page}\n" in capsys.readouterr().out


def test_a_finished_stage_that_is_asked_for_is_left_and_no_page_is_named(apart, capsys):
    page = apart.workdir / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("")
    apart.run()
    capsys.readouterr()
    run(tiny_study.get_config(), apart.workdir, "b", apart.stages, anew=False)
    assert apart.log == ["a one", "a two", "b"]
    out = capsys.readouterr().out
    assert out == f"study in {apart.workdir}: 1 of 1 stages are done; left: nothing\n"
    apart.inputs |= {"a one": 2}
    run(tiny_study.get_config(), apart.workdir, "a", apart.stages)
    out = capsys.readouterr().out
    assert "1 of 2 stages are done; left: a one; asked for again: a two\n" in out
    assert "report:" not in out


def test_only_the_stage_whose_input_changed_is_made_anew(apart):
    apart.run()
    apart.inputs["a two"] = 2
    assert apart.run() == ["a two"]
    assert apart.run() == []


def test_a_study_goes_on_from_the_stage_that_failed(apart):
    apart.broken = "a two"
    with pytest.raises(RuntimeError, match="a two is broken"):
        apart.run()
    assert apart.recorded() == {"a one"}
    apart.broken = ""
    assert apart.run() == ["a two", "b"]


@pytest.mark.parametrize(
    ("output", "made"),
    [
        ("out", ["a one"]),
        ("other", ["a one", "a two"]),
        (None, ["a one", "a two"]),
    ],
)
def test_what_is_made_from_a_stage_is_made_again_only_where_it_comes_out_otherwise(
    chain, capsys, output, made
):
    chain.run()
    chain.inputs["a one"] = 2
    chain.outputs["a one"] = output
    capsys.readouterr()
    assert chain.run() == made
    out = capsys.readouterr().out
    assert "0 of 3 stages are done; left: a one, a two, b\n" in out, "the worst is said at first"
    assert "[1/3] a one (3 stages left, about 0.0 s)\n" in out
    assert chain.run() == []


def test_an_output_that_changes_goes_all_the_way(chain):
    chain.run()
    chain.inputs["a one"] = 2
    chain.outputs |= {"a one": "other", "a two": "other"}
    assert chain.run() == ["a one", "a two", "b"]


def test_after_a_failure_nothing_made_from_it_counts_as_done(chain):
    chain.run()
    chain.inputs["a two"], chain.broken = 2, "a two"
    with pytest.raises(RuntimeError, match="a two is broken"):
        chain.run()
    assert chain.recorded() == {"a one", "b"}
    with pytest.raises(InputError, match=r"a two is not up to date"):
        run(tiny_study.get_config(), chain.workdir, "c", lambda _: [*chain.stages(), last(chain)])
    chain.broken, chain.outputs["a two"] = "", "other"
    assert chain.run() == ["a two", "b"]


def last(chain: FakeStages) -> Stage:
    """A stage that is made from the last of the chain."""
    return Stage("c", lambda: None, needs=(chain.stages()[-1],))


def test_a_lost_record_is_a_lost_stage(chain):
    chain.run()
    chain.record("a two").unlink()
    assert chain.run() == ["a two"]
    chain.record("b").write_text("{")
    assert chain.run() == ["b"]


# -- some of the stages


@pytest.mark.parametrize(
    ("only", "titles"),
    [
        ("a", ["a one", "a two"]),
        ("a two", ["a two"]),
        ("b", ["b"]),
        (StageFilter(("a",), model="one"), ["a one"]),
        (lambda stage: stage.title.endswith("one"), ["a one"]),
    ],
)
def test_stages_that_are_asked_for_are_always_made_anew_and_alone(apart, only, titles, capsys):
    apart.run()
    capsys.readouterr()
    assert apart.run(only) == titles
    told = f"{len(titles)} of {len(titles)} stages are done; asked for again: {', '.join(titles)}\n"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("only", "asked", "meant"),
    [
        ("a oen", "'a oen'", "; did you mean 'a one'?"),
        ("a nope", "'a nope'", ""),
        ("bb", "'bb'", "; did you mean 'b'?"),
        (StageFilter(("a",), model="oen"), "'a oen'", "; did you mean 'one'?"),
        (StageFilter(("a",), model="nope"), "'a nope'", ""),
        (StageFilter(("a",), model="one", level=8), "'a one at 8'", ""),
        (StageFilter(("c",)), "'c'", ""),
        (lambda stage: False, "as asked", ""),
    ],
)
def test_asking_for_no_stage_names_those_there_are(apart, only, asked, meant):
    with pytest.raises(InputError) as refused:
        apart.run(only)
    there = f"no stage of the study is called {asked}; there are: a one, a two, b"
    assert str(refused.value) == there + meant
    assert not (apart.workdir / "config.json").exists()


def test_a_stage_is_made_only_on_what_is_up_to_date(chain):
    with pytest.raises(
        InputError,
        match=r"^a one is not up to date: run `fairrecon a` first, or `fairrecon study` for all$",
    ):
        chain.run("b")
    assert not (chain.workdir / "config.json").exists()
    chain.run()
    chain.inputs |= {"a one": 2, "b": 2}
    chain.outputs["a one"] = "other"
    with pytest.raises(InputError, match=r"^a one is not up to date"):
        chain.run("b")
    assert chain.run("a one") == ["a one"]
    with pytest.raises(InputError, match=r"^a two is not up to date"):
        chain.run("b")
    assert chain.run("a two") == ["a two"]
    assert chain.run("b") == ["b"]


def test_asking_for_a_stage_again_leaves_what_is_made_from_it_where_nothing_changes(chain):
    chain.run()
    chain.run("a two")
    assert chain.run() == []
    chain.outputs["a two"] = "other"
    chain.run("a two")
    assert chain.run() == ["b"]


def test_imports_are_made_with_the_stage_that_needs_them(tmp_path):
    fakes = FakeStages(tmp_path, {"import x": (), "predict x": ("import x",)})
    assert fakes.run("predict") == ["import x", "predict x"]
    assert fakes.run("predict") == ["predict x"]
    fakes.inputs["import x"] = 2
    assert fakes.run("predict") == ["import x", "predict x"]


def test_the_command_that_makes_what_is_missing_is_named(tmp_path):
    cell = Cell("unet", 8.0, "eodd", 0.1)
    needed = Stage("choose", lambda: None, cell=cell)
    with pytest.raises(
        InputError, match=r"with eodd@0.1 at 8 is not up to date: run `fairrecon mi"
    ):
        run(
            tiny_study.get_config(),
            tmp_path,
            "assess",
            lambda _: [needed, Stage("assess", lambda: None, needs=(needed,))],
        )


# -- before anything is made


def test_a_refused_configuration_makes_no_folder(tmp_path):
    config = tiny_study.get_config()
    config.reconstructors.unet.width = 0
    with pytest.raises(ConfigError, match=r"config.reconstructors.unet: "):
        run(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("verb", "refused"),
    [("assess", False), ("predict", False), ("train", True), ("mitigate", True)],
)
def test_batches_of_trainings_are_looked_at_where_something_is_trained(tmp_path, verb, refused):
    config = tiny_study.get_config()
    config.reconstructors.unet.train.batch_size = 6
    made: list[str] = []

    def study() -> None:
        run(
            config,
            tmp_path,
            stages=lambda _: [Stage(verb, lambda: made.append(verb), together=True)],
        )

    if refused:
        message = r"config.reconstructors.unet.train.batch_size is 6 \(take 4 or 8\)"
        with pytest.raises(ConfigError, match=message):
            study()
    else:
        study()
    assert made == ([] if refused else [verb])


def test_a_work_directory_of_an_earlier_version_is_refused(apart):
    (apart.workdir / "pieces").mkdir()
    with pytest.raises(InputError, match="holds a study of an earlier version"):
        apart.run()
    assert apart.log == []


def test_the_parsed_study_is_taken_too_and_handed_to_the_stages(tmp_path):
    study, seen = parse(tiny_study.get_config()), []

    def stages(context) -> list[Stage]:
        seen.append((context.study, context.workdir.root))
        return [Stage("a", lambda: None)]

    run(study, tmp_path, stages=stages)
    assert seen == [(study, tmp_path)]


def test_the_configuration_is_written_with_every_default(tmp_path):
    config = tiny_study.get_config()
    config.cohort.root = str(tmp_path)
    write_config(parse(config), tmp_path / "config.json")
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["root"] == str(tmp_path)
    assert written["seed"] == 0
    assert written["cohort"]["image_size"] == 32
    assert written["splits"] == {
        "kind": "SplitsConfig",
        "seed": 0,
        "fractions": [0.4, 0.3, 0.3],
        "diagnosis_fraction": 0.0,
    }
    train = written["reconstructors"]["unet"]["train"]
    assert (train["steps"], train["optimizer"], train["workers"]) == (2, "adam", 0)
    assert written["tandem"]["batch_size"] == 16


# -- the time that is left


def test_the_time_that_is_left_is_that_of_stages_of_the_same_kind(tmp_path):
    def stage(verb: str, level: float) -> Stage:
        return Stage(verb, lambda: None, cell=Cell("unet", level))

    stages = [stage(verb, level) for verb in ("train", "predict", "report") for level in (4, 8)]
    for made, seconds in ((stages[0], 100.0), (stages[2], 4.0)):
        made.record(tmp_path).write_text(json.dumps({"digest": "other", "seconds": seconds}))
    left = [stages[1], stages[3], stages[5]]
    assert _remaining(left, stages, tmp_path) == (
        "3 stages left, about 1 min 44 s for 2 of them, 1 kind not timed yet"
    )
    assert _remaining(left[:2], stages, tmp_path) == "2 stages left, about 1 min 44 s"
    assert _remaining(left[2:], stages, tmp_path) == "1 stage left, 1 kind not timed yet"
