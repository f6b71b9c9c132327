"""One stage: what it is called, when it is up to date, and how stages are picked and followed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fairrecon_jax.study.stages import (
    Stage,
    StageFilter,
    dependencies,
    dependents,
    read_record,
)
from fairrecon_jax.types import Cell
from tests.support.study_fakes import FakeStages

PLAIN, MITIGATED = Cell("unet", 8.0), Cell("unet", 8.0, "eodd", 0.1)


def stage(verb: str, **fields) -> Stage:
    return Stage(verb, lambda: None, **fields)


# -- names


@pytest.mark.parametrize(
    ("made", "title", "stem", "command"),
    [
        (stage("phantom"), "phantom", "phantom", "prepare"),
        (stage("cohort"), "cohort", "cohort", "prepare"),
        (stage("train", model="tumor"), "train tumor", "train__tumor", "train"),
        (stage("train", cell=PLAIN), "train unet at 8", "train__unet__8", "train"),
        (stage("import", cell=PLAIN), "import unet at 8", "import__unet__8", "import"),
        (stage("predict", cell=PLAIN), "predict unet at 8", "predict__unet__8", "predict"),
        (
            stage("predict", cell=MITIGATED),
            "predict unet with eodd@0.1 at 8",
            "predict__unet__8__eodd@0.1",
            "mitigate",
        ),
        (
            stage("choose", cell=Cell("unet", 1e5, "eodd")),
            "choose unet with eodd at 100000",
            "choose__unet__100000__eodd",
            "mitigate",
        ),
        (stage("assess"), "assess", "assess", "assess"),
    ],
)
def test_a_stage_is_named_by_its_verb_and_what_it_makes(made, title, stem, command):
    assert (made.title, made.stem, made.command) == (title, stem, command)


def test_stages_of_one_kind_take_equally_long():
    levels = [stage("train", cell=Cell("unet", level)).kind for level in (4.0, 8.0)]
    assert levels[0] == levels[1] != stage("train", cell=Cell("irsde", 8.0)).kind
    tried = [stage("mitigate", cell=Cell("unet", 8.0, "eodd", weight)).kind for weight in (0.1, 1)]
    assert tried[0] == tried[1] != stage("mitigate", cell=Cell("unet", 8.0, "dro")).kind
    assert stage("predict", cell=MITIGATED).kind == stage("predict", cell=PLAIN).kind
    assert stage("train", model="tumor").kind != stage("train", model="grade").kind


# -- records


def chain(workdir: Path) -> FakeStages:
    """ "a", then "b" made from it, then "c" made from both."""
    return FakeStages(workdir, {"a": (), "b": ("a",), "c": ("a", "b")})


def done(fakes: FakeStages) -> set[str]:
    """Titles of the stages that are up to date."""
    return {one.title for one in fakes.stages() if one.is_done(fakes.workdir / "stages")}


def make(fakes: FakeStages, *titles: str) -> None:
    for title in titles:
        fakes.stage(title).make(fakes.workdir / "stages")


def test_a_record_says_what_was_made_from_what(tmp_path):
    fakes = chain(tmp_path)
    fakes.outputs |= {"a": "A", "b": "B", "c": "C"}
    make(fakes, "a", "b", "c")
    record = json.loads((tmp_path / "stages" / "c.json").read_text())
    assert record["title"] == "c"
    assert record["digest"] == fakes.stage("c").digest
    assert record["made_from"] == {"a": "A", "b": "B"}
    assert record["output"] == "C"
    assert record["seconds"] >= 0
    assert done(fakes) == {"a", "b", "c"}


def test_the_digest_is_of_the_verb_and_the_declared_inputs():
    same = stage("train", inputs={"steps": 2, "levels": (4.0, 8.0)})
    assert same.digest == stage("train", inputs={"levels": [4.0, 8.0], "steps": 2}).digest
    others = [
        stage("import", inputs={"steps": 2, "levels": (4.0, 8.0)}),
        stage("train", inputs={"steps": 3, "levels": (4.0, 8.0)}),
        stage("train", inputs={"steps": 2}),
    ]
    assert len({same.digest, *(other.digest for other in others)}) == 4


def test_another_input_makes_a_stage_stale(tmp_path):
    fakes = chain(tmp_path)
    make(fakes, "a", "b", "c")
    fakes.inputs["b"] = 2
    assert done(fakes) == {"a", "c"}
    fakes.inputs["b"] = 1
    assert done(fakes) == {"a", "b", "c"}


def test_another_output_makes_what_is_made_from_it_stale(tmp_path):
    fakes = chain(tmp_path)
    make(fakes, "a", "b", "c")
    fakes.outputs["a"] = "other"
    make(fakes, "a")
    assert done(fakes) == {"a"}
    make(fakes, "b")
    assert done(fakes) == {"a", "b"}, "c was made from the earlier a"
    make(fakes, "c")
    assert done(fakes) == {"a", "b", "c"}


def test_a_stage_made_again_with_the_same_output_leaves_the_others_as_they_are(tmp_path):
    fakes = chain(tmp_path)
    make(fakes, "a", "b", "c")
    fakes.inputs["a"] = 2
    make(fakes, "a")
    assert done(fakes) == {"a", "b", "c"}


def test_a_stage_that_gives_no_output_always_makes_the_others_stale(tmp_path):
    fakes = chain(tmp_path)
    fakes.outputs["a"] = None
    make(fakes, "a", "b", "c")
    assert done(fakes) == {"a", "b", "c"}
    make(fakes, "a")
    assert done(fakes) == {"a"}


def test_a_stage_that_was_interrupted_is_stale_and_so_is_what_is_made_from_it(tmp_path):
    fakes = chain(tmp_path)
    make(fakes, "a", "b", "c")
    fakes.broken = "a"
    with pytest.raises(RuntimeError, match="a is broken"):
        make(fakes, "a")
    assert not (tmp_path / "stages" / "a.json").exists()
    assert done(fakes) == set()
    fakes.broken = ""
    make(fakes, "a")
    assert done(fakes) == {"a", "b", "c"}, "it came out as before"


def test_a_stage_with_other_needs_is_stale(tmp_path):
    fakes = chain(tmp_path)
    make(fakes, "a", "b", "c")
    fakes.needs["c"] = ("b",)
    assert done(fakes) == {"a", "b"}


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', '{"digest": 3}', '{"seconds": "1"}'])
def test_a_spoilt_record_counts_as_none(tmp_path, text):
    fakes = chain(tmp_path)
    make(fakes, "a", "b", "c")
    (tmp_path / "stages" / "b.json").write_text(text)
    assert read_record(tmp_path / "stages" / "b.json") == {}
    assert fakes.stage("b").recorded(tmp_path / "stages") == {}
    assert done(fakes) == {"a"}


def test_a_record_that_lacks_a_part_is_not_up_to_date(tmp_path):
    fakes = chain(tmp_path)
    make(fakes, "a")
    record = json.loads((tmp_path / "stages" / "a.json").read_text())
    for part in ("digest", "made_from"):
        rest = {name: value for name, value in record.items() if name != part}
        (tmp_path / "stages" / "a.json").write_text(json.dumps(rest))
        assert done(fakes) == set()


def test_a_finished_stage_that_is_only_read_again_keeps_its_time(tmp_path):
    slow = Stage("train", lambda: time.sleep(0.3), model="unet", output=lambda: "weights")
    slow.make(tmp_path)
    took = slow.recorded(tmp_path)["seconds"]
    assert took >= 0.3
    Stage("train", lambda: None, model="unet", output=lambda: "weights").make(tmp_path)
    assert slow.recorded(tmp_path)["seconds"] == took
    Stage("train", lambda: None, model="unet", output=lambda: "other weights").make(tmp_path)
    assert slow.recorded(tmp_path)["seconds"] < 0.3


# -- filters

THERE = [
    stage("cohort"),
    stage("train", model="tumor"),
    stage("train", cell=Cell("unet", 1e3)),
    stage("train", cell=Cell("unet", 1e4)),
    stage("predict", cell=Cell("irsde", 1e3)),
    stage("predict", cell=Cell("irsde_2", 1e3)),
    stage("mitigate", cell=Cell("unet", 1e3, "eodd", 1.0)),
    stage("predict", cell=Cell("unet", 1e3, "eodd", 1.0)),
    stage("choose", cell=Cell("unet", 1e3, "eodd")),
    stage("assess"),
]


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        (StageFilter(("train",)), ["train tumor", "train unet at 1000", "train unet at 10000"]),
        (StageFilter(("train",), model="unet"), ["train unet at 1000", "train unet at 10000"]),
        (StageFilter(("train",), model="tumor"), ["train tumor"]),
        (StageFilter(("train",), model="unet", level=1e3), ["train unet at 1000"]),
        (StageFilter(("train",), level=1000.0), ["train unet at 1000"]),
        (StageFilter(("train",), model="une"), []),
        (StageFilter(("predict",), model="irsde"), ["predict irsde at 1000"]),
        (StageFilter(("predict",)), ["predict irsde at 1000", "predict irsde_2 at 1000"]),
        (
            StageFilter(("mitigate", "predict", "choose"), mitigated=True),
            [
                "mitigate unet with eodd@1 at 1000",
                "predict unet with eodd@1 at 1000",
                "choose unet with eodd at 1000",
            ],
        ),
        (
            StageFilter(("mitigate",), mitigated=True, mitigation="eodd"),
            ["mitigate unet with eodd@1 at 1000"],
        ),
        (StageFilter(("mitigate",), mitigated=True, mitigation="eod"), []),
        (StageFilter(("mitigate",), mitigated=True, level=1e4), []),
        (StageFilter(("phantom", "cohort")), ["cohort"]),
    ],
)
def test_stages_are_picked_by_whole_fields(wanted, titles):
    assert [one.title for one in THERE if wanted(one)] == titles


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (StageFilter(("train",), model="unet", level=8.0), "train unet at 8"),
        (StageFilter(("predict",), level=8.0), "predict at 8"),
        (
            StageFilter(("mitigate", "predict"), True, "unet", "eodd"),
            "mitigate/predict unet with eodd",
        ),
    ],
)
def test_a_choice_of_stages_in_words(wanted, words):
    assert str(wanted) == words


# -- what depends on what


def test_stages_are_followed_up_and_down(tmp_path):
    fakes = FakeStages(
        tmp_path, {"a": (), "b": ("a",), "c": (), "d": ("b", "c"), "e": ("c",), "f": ("d",)}
    )
    stages = fakes.stages()

    def titles(follow, *chosen: str) -> list[str]:
        return [one.title for one in follow([s for s in stages if s.title in chosen], stages)]

    assert titles(dependents, "b") == ["b", "d", "f"]
    assert titles(dependents, "c") == ["c", "d", "e", "f"]
    assert titles(dependents, "f") == ["f"]
    assert titles(dependencies, "d") == ["a", "b", "c", "d"]
    assert titles(dependencies, "e", "b") == ["a", "b", "c", "e"]
    assert titles(dependencies, "a") == ["a"]
    assert titles(dependents) == titles(dependencies) == []
