"""Pieces of a study with fake work: what is made, skipped and recorded; where each piece lies; rows
to fine-tune on; examples to show.
"""

from __future__ import annotations

import dataclasses
import json
import types

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.physics import describe
from fairrecon_jax.study import mitigate as finetuning
from fairrecon_jax.study import report as panels
from fairrecon_jax.study import run as study
from fairrecon_jax.study.config import Plan
from fairrecon_jax.study.run import Piece
from fairrecon_jax.study.stages import Wanted
from fairrecon_jax.study.workdir import Workspace, as_json, level_name
from fairrecon_jax.tandem import Tandem
from fairrecon_jax.types import Attribute, CohortSpec, Task
from tests.support import tiny_study

TASKS = (Task("grade", "classification"), Task("tumor", "segmentation"))
ATTRIBUTES = (Attribute("sex", ("F", "M")),)
SPEC = CohortSpec("c", "C", "mri", TASKS, ATTRIBUTES, describe("mri_radial", (8.0,), 8.0))

# -- pieces
# ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A study of three pieces "a one", "a two", "b" that note their making; `digests`, `needs` and
    `broken` can be changed.
    """
    found = types.SimpleNamespace(
        log=[],
        digests={"a one": "1", "a two": "1", "b": "1"},
        needs={},
        broken="",
        workdir=tmp_path,
    )

    def work(name: str) -> None:
        if name == found.broken:
            raise RuntimeError(name)
        found.log.append(name)

    def plan(workspace):
        pieces = found.digests.items()
        return [
            Piece(
                name,
                name,
                digest,
                lambda name=name: work(name),
                name == "b",
                found.needs.get(name, ()),
            )
            for name, digest in pieces
        ]

    monkeypatch.setattr(study, "plan", plan)
    monkeypatch.setattr(study, "check", lambda workspace: None)
    monkeypatch.setattr(study, "use_compilation_cache", lambda workdir: None)
    found.run = lambda **only: study.run(tiny_study.get_config(), tmp_path, **only)
    return found


def test_pieces_are_made_in_order_once_and_recorded(made, capsys):
    page = made.run()
    assert made.log == ["a one", "a two", "b"]
    assert page == made.workdir / "report" / "index.html"
    record = json.loads((made.workdir / "pieces" / "a_one.json").read_text())
    assert record["digest"] == "1"
    assert record["seconds"] >= 0
    out = capsys.readouterr().out
    assert "0 of 3 pieces are done; left: a one, a two, b" in out
    assert "[2/3] a two (about 0.0 s for 0 of" not in out
    assert "report:" not in out, "there is no page"
    made.run()
    assert made.log == ["a one", "a two", "b"]
    assert "3 of 3 pieces are done; left: nothing" in capsys.readouterr().out


def test_only_the_piece_whose_digest_changed_is_made_anew(made):
    made.run()
    made.digests["a two"] = "2"
    made.run()
    assert made.log[3:] == ["a two"]
    assert json.loads((made.workdir / "pieces" / "a_two.json").read_text())["digest"] == "2"


def test_a_piece_that_failed_has_no_record_and_the_study_goes_on_from_it(made):
    made.broken = "a two"
    with pytest.raises(RuntimeError, match="a two"):
        made.run()
    assert sorted(p.name for p in (made.workdir / "pieces").iterdir()) == ["a_one.json"]
    made.broken = ""
    made.run()
    assert made.log == ["a one", "a two", "b"]


def records(workdir) -> set[str]:
    return {path.stem for path in (workdir / "pieces").iterdir()}


def test_a_piece_is_made_only_on_what_is_done_with_the_same_choices(made):
    made.needs = {"a two": ("a one",), "b": ("a two",)}
    with pytest.raises(
        ValueError,
        match=r"^a one is not up to date: run `fairrecon a` first, or `fairrecon study` for all$",
    ):
        made.run(only="b")
    assert not (made.workdir / "config.json").exists()
    made.run()
    made.digests |= {"a one": "2", "b": "2"}
    with pytest.raises(ValueError, match="a one is not up to date"):
        made.run(only="b")
    assert made.log == ["a one", "a two", "b"]
    assert made.run(only="a")
    made.run(only="b")
    assert made.log[3:] == ["a one", "a two", "b"]


def test_making_a_piece_ends_the_records_of_what_is_made_from_it(made):
    made.needs = {"b": ("a two",)}
    made.run()
    made.run(only="a two")
    assert records(made.workdir) == {"a_one", "a_two"}
    made.run()
    assert made.log[3:] == ["a two", "b"]
    made.broken, made.digests["a two"] = "a two", "2"
    with pytest.raises(RuntimeError, match="a two"):
        made.run()
    assert records(made.workdir) == {"a_one"}, (
        "what lies there may be half of the old and half of the new"
    )
    made.broken = ""
    made.run()
    assert made.log[5:] == ["a two", "b"]
    (made.workdir / "pieces" / "a_two.json").unlink()
    made.run()
    assert made.log[7:] == ["a two", "b"], "in the same run"


def test_a_piece_that_is_written_once_ends_records_only_where_it_changes(made):
    made.digests = {"train x": "1", "predict x at 8": "1"}
    made.needs = {"predict x at 8": ("train x",)}
    made.run()
    made.run(only="train")
    assert records(made.workdir) == {"train_x", "predict_x_at_8"}
    made.digests["train x"], made.broken = "2", "train x"
    with pytest.raises(RuntimeError, match="train x"):
        made.run(only="train")
    assert records(made.workdir) == {"train_x", "predict_x_at_8"}, (
        "a refused training has overwritten nothing"
    )
    made.broken = ""
    made.run(only="train")
    assert records(made.workdir) == {"train_x"}


def test_imports_are_made_with_the_piece_that_needs_them(made):
    made.digests = {"import x at 8": "1", "predict x at 8": "1"}
    made.needs = {"predict x at 8": ("import x at 8",)}
    made.run(only="predict")
    assert made.log == ["import x at 8", "predict x at 8"]
    made.run(only="predict")
    assert made.log[2:] == ["predict x at 8"]


def test_what_the_pieces_of_a_study_need(tmp_path):
    config = tiny_study.get_config()
    config.reconstructors.again = ConfigDict({"weights_of": "unet"})
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    needs = {piece.name: set(piece.needs) for piece in study.plan(Workspace(config, tmp_path))}
    assert needs["cohort"] == {"phantom"}
    assert needs["train tumor"] == needs["train unet at 8"] == {"cohort"}
    assert needs["predict identity at 8"] == {"cohort", "train tumor"}
    assert (
        needs["predict unet at 8"]
        == needs["predict again at 8"]
        == {"cohort", "train tumor", "train unet at 8"}
    )
    assert needs["mitigate unet with eodd@1 at 8"] == {"train tumor", "train unet at 8"}
    assert needs["predict unet with eodd@1 at 8"] == {"mitigate unet with eodd@1 at 8"}
    tried = {f"predict unet with eodd@{weight} at 8" for weight in ("0.1", "1")}
    assert needs["choose unet with eodd at 8"] == tried | {"predict unet at 8"}
    assert needs["assess"] == {name for name in needs if name.startswith(("predict", "choose"))}
    assert needs["report"] == {"assess"}
    assert set().union(*needs.values()) < set(needs)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(("train",), model="unet"), ["train unet at 1000", "train unet at 10000"]),
        (Wanted(("train",), model="unet", level="1000"), ["train unet at 1000"]),
        (Wanted(("train",), level="1000"), ["train unet at 1000"]),
        (Wanted(("predict",), model="irsde"), ["predict irsde at 1000"]),
        (Wanted(("predict",)), ["predict irsde at 1000", "predict irsde_2 at 1000"]),
        (
            Wanted(("mitigate", "predict"), True),
            ["mitigate unet with eodd@1 at 1000", "predict unet with eodd@1 at 1000"],
        ),
        (Wanted(("mitigate",), True, mitigation="eodd"), ["mitigate unet with eodd@1 at 1000"]),
        (Wanted(("mitigate",), True, mitigation="eod"), []),
    ],
)
def test_pieces_are_picked_by_whole_names(wanted, names):
    there = [
        "cohort",
        "train tumor",
        "train unet at 1000",
        "train unet at 10000",
        "predict irsde at 1000",
        "predict irsde_2 at 1000",
    ]
    there += ["mitigate unet with eodd@1 at 1000", "predict unet with eodd@1 at 1000", "assess"]
    assert list(filter(wanted, there)) == names


def test_a_choice_of_pieces_in_words():
    assert str(Wanted(("train",), model="unet", level="8")) == "train unet at 8"
    assert str(Wanted(("predict",), level="8")) == "predict at 8"


@pytest.mark.parametrize(
    ("only", "names"),
    [("a", ["a one", "a two"]), ("b", ["b"]), (lambda name: name.endswith("one"), ["a one"])],
)
def test_pieces_that_are_asked_for_are_always_made_anew_and_alone(made, only, names):
    made.run()
    made.run(only=only)
    assert made.log[3:] == names


@pytest.mark.parametrize(
    ("only", "asked"), [("a o", "'a o'"), (Wanted(("c",)), "'c'"), (lambda name: False, "as asked")]
)
def test_asking_for_no_piece_names_those_there_are(made, only, asked):
    with pytest.raises(ValueError) as refused:
        made.run(only=only)
    assert (
        str(refused.value) == f"no piece of the study is called {asked}; there are: a one, a two, b"
    )
    assert not (made.workdir / "config.json").exists()


def test_the_time_that_is_left_is_that_of_pieces_of_the_same_kind(tmp_path):
    pieces = [
        Piece(f"{kind} {i}", kind, "1", lambda: None)
        for kind in ("train", "predict", "report")
        for i in (0, 1)
    ]
    (tmp_path / "pieces").mkdir()
    for piece, seconds in ((pieces[0], 100.0), (pieces[2], 4.0)):
        piece.record(tmp_path).write_text(json.dumps({"digest": "other", "seconds": seconds}))
    left = [pieces[1], pieces[3], pieces[5]]
    assert (
        study._remaining(left, pieces, tmp_path)
        == "about 1 min 44 s for 2 of the 3 pieces left, 1 kinds not timed yet"
    )
    assert (
        study._remaining(left[:2], pieces, tmp_path)
        == "about 1 min 44 s for 2 of the 2 pieces left"
    )
    assert study._remaining(left[2:], pieces, tmp_path) == "1 pieces left, 1 kinds not timed yet"


def test_a_file_of_weights_is_stamped_by_name_size_and_change(tmp_path):
    file = tmp_path / "net.pth"
    assert study._stamp(file) is None
    file.write_bytes(b"12345")
    assert study._stamp(file) == ("net.pth", 5, file.stat().st_mtime_ns)
    assert study._stamp(tmp_path) is None


# -- places
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (8, "8"),
        (8.0, "8"),
        (1e5, "100000"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (1e-5, "1e-05"),
        (12345678.5, "12345678.5"),
    ],
)
def test_levels_as_folders(level, name):
    assert level_name(level) == name


def test_values_come_back_from_json_as_json_has_them(tmp_path):
    assert as_json({"a": (1, 2.5, None), 3: tmp_path}) == {"a": [1, 2.5, None], "3": str(tmp_path)}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    config = tiny_study.get_config()
    config.degradation.levels = (4.0, 8.0)
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    return Workspace(config, tmp_path)


def test_every_model_and_prediction_has_a_place_of_its_own(workspace, tmp_path):
    cells = [
        ("unet", 4.0, "none"),
        ("unet", 8.0, "none"),
        ("unet", 8.0, "eodd"),
        ("unet", 8.0, "eodd@0.1"),
    ]
    folders = [workspace.folder(*cell).relative_to(tmp_path).as_posix() for cell in cells]
    assert folders == [
        "reconstructors/unet/4",
        "reconstructors/unet/8",
        "mitigated/eodd/unet/8",
        "mitigated/eodd@0.1/unet/8",
    ]
    assert workspace.folder("tumor") == tmp_path / "diagnosers" / "tumor"
    files = [workspace.predictions_file(*cell).relative_to(tmp_path).as_posix() for cell in cells]
    assert files == [
        f"predictions/unet__{end}.parquet" for end in ("4", "8", "8__eodd", "8__eodd@0.1")
    ]


def test_the_grid_keeps_a_reconstructors_levels_together_and_mitigations_last(workspace):
    grid = [(name, level) for name in ("identity", "unet") for level in (4.0, 8.0)]
    assert workspace.grid() == grid
    assert workspace.cells() == [
        *((name, level, "none") for name, level in grid),
        ("unet", 8.0, "eodd"),
    ]


def test_the_tree_is_the_given_one_or_the_phantoms(workspace, tmp_path):
    assert workspace.root == tmp_path / "phantom"
    workspace.config.cohort.root = "data/real"
    assert workspace.root.as_posix() == "data/real"
    workspace.write_phantom()
    assert not (tmp_path / "phantom").exists(), "a cohort that is given is not drawn"


def test_imported_weights_are_known_by_their_digest_and_never_trained_over(workspace):
    assert workspace.imported("unet", 8.0) == ""
    meta = workspace.folder("unet", 8.0) / "final" / "meta"
    meta.mkdir(parents=True)
    (meta / "metadata").write_text(json.dumps({"digest": "abc", "name": "unet"}))
    assert workspace.imported("unet", 8.0) == "", "trained here"
    (meta / "metadata").write_text(json.dumps({"digest": "abc", "imported": {}}))
    assert (workspace.imported("unet", 8.0), workspace.imported("unet", 4.0)) == ("abc", "")
    with pytest.raises(ValueError, match=r"unet.8 holds imported weights: remove it to train"):
        workspace.train_reconstructor("unet", 8.0)


def test_weights_are_not_imported_over_a_training(workspace):
    folder = workspace.folder("unet", 8.0)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    with pytest.raises(
        ValueError,
        match="holds a training run: remove it to put imported weights there, or choose "
        "another folder",
    ):
        workspace.import_reconstructor("unet", 8.0, ["net.pth"])


def test_weights_that_are_missing_name_their_folder(workspace, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"no weights in {tmp_path}/x: train the model first"
    ):
        workspace.weights(tmp_path / "x")


def test_comparisons_are_read_only_where_the_study_mitigates(workspace, tmp_path):
    assert workspace.comparisons() == (None, None)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mitigation.csv").write_text("a\n1\n")
    found, sweep = workspace.comparisons()
    assert (found.to_dict("list"), sweep) == ({"a": [1]}, None)
    del workspace.config.mitigations["eodd"]
    assert workspace.comparisons() == (None, None), "a table of an earlier study is not shown"


def fake_workspace(table: pd.DataFrame, rows=None, seed: int = 0):
    """A workspace of one table, all of whose rows (or the given ones) are in every part."""
    rows = np.arange(len(table)) if rows is None else np.asarray(rows)
    digests = np.stack([table.get("digest", pd.Series(range(len(table)))), np.zeros(len(table))], 1)
    cohort = types.SimpleNamespace(table=table, digests=lambda: digests)
    config = types.SimpleNamespace(splits=types.SimpleNamespace(seed=seed))
    return types.SimpleNamespace(
        cohort=cohort,
        spec=SPEC,
        config=config,
        rows=lambda *parts: rows,
        evaluated_rows=lambda: rows,
    )


def test_evaluated_rows_are_those_the_cohort_names_in_order(workspace):
    workspace.__dict__["cohort"] = types.SimpleNamespace(
        table=pd.DataFrame({"evaluate": [True, False, True, True]})
    )
    workspace.rows = lambda *parts: np.array([3, 0, 1])
    assert workspace.evaluated_rows().tolist() == [0, 3]
    workspace.cohort.table = pd.DataFrame({"other": [1] * 4})
    assert workspace.evaluated_rows().tolist() == [0, 1, 3]


# -- fine-tuning
# -----------------------------------------------------------------------------------------------------------------


def test_every_weight_to_try_is_a_training_of_its_own():
    assert finetuning.variants(Plan(weights=(0.1, 10.0)), "eodd") == [
        ("eodd@0.1", 0.1),
        ("eodd@10", 10.0),
    ]
    assert finetuning.variants(Plan(), "eodd") == [("eodd", None)]


@pytest.mark.parametrize(("fraction", "patients"), [(1.0, 10), (0.5, 5), (0.41, 5), (0.01, 1)])
def test_a_share_of_the_patients_is_fine_tuned_on_with_all_their_rows(fraction, patients):
    table = pd.DataFrame({"patient_id": [f"p{i // 3}" for i in range(36)]})
    rows = np.arange(6, 36)
    found = finetuning.training_rows(fake_workspace(table, rows), fraction)
    assert len(found) == 3 * patients
    assert set(found) <= set(rows)
    assert table["patient_id"].iloc[found].nunique() == patients
    whole = finetuning.training_rows(fake_workspace(table, rows), 1.0)
    np.testing.assert_array_equal(whole, rows)
    larger = finetuning.training_rows(fake_workspace(table, rows), min(fraction + 0.3, 1.0))
    assert set(found) <= set(larger), "a larger share adds patients and drops none"
    if fraction == 0.5:
        assert set(finetuning.training_rows(fake_workspace(table, rows, seed=1), fraction)) != set(
            found
        )


def test_outcomes_are_labels_and_whether_there_is_a_region():
    table = pd.DataFrame(
        {"patient_id": list("abc"), "grade": [1.0, np.nan, 0.0], "tumor": [0.0, 12.0, 3.0]}
    )
    np.testing.assert_array_equal(
        finetuning.outcomes(fake_workspace(table)), [[1, 0], [np.nan, 1], [0, 1]]
    )
    nothing = fake_workspace(table)
    nothing.spec = dataclasses.replace(SPEC, tasks=())
    assert finetuning.outcomes(nothing).shape == (3, 0)


# -- examples
# --------------------------------------------------------------------------------------------------------------------


def people(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "sex", "tumor", "digest"])


def test_examples_are_one_slice_a_patient_the_largest_region_first_and_alternate_between_groups():
    table = people(
        ("a", "F", 5.0, 1),
        ("a", "F", 9.0, 2),
        ("b", "F", 4.0, 3),
        ("c", "M", 2.0, 9),
        ("d", "M", 3.0, 8),
        ("e", "M", 0.0, 0),
    )
    workspace = fake_workspace(table)
    assert panels.example_rows(workspace, 4).tolist() == [1, 4, 2, 3], (
        "in turns of groups, within a turn in the order of the digests"
    )
    assert panels.example_rows(workspace, 2).tolist() == [1, 4]
    assert panels.example_rows(workspace, 0).tolist() == []


def test_patients_without_a_region_are_shown_where_there_are_too_few_with_one():
    table = people(("a", "F", 5.0, 5), ("b", "F", 0.0, 1), ("c", "M", 0.0, 2))
    assert panels.example_rows(fake_workspace(table), 1).tolist() == [0]
    assert panels.example_rows(fake_workspace(table), 2).tolist() == [0, 1], (
        "the one with a region goes first"
    )
    assert sorted(panels.example_rows(fake_workspace(table), 3).tolist()) == [0, 1, 2]
    assert panels.example_rows(fake_workspace(table, [1, 2]), 3).tolist() == [1, 2], (
        "only evaluated rows are shown"
    )


class Linear:
    """A diagnoser whose maps are the image and its complement and whose logits are weighted means
    of them.
    """

    tasks = ("grade", "type")
    weights = jnp.array([[1.0, 0.0], [-2.0, 0.5]])  # [tasks, maps]

    def maps(self, variables, image):
        return jnp.concatenate([image, variables["top"] - image], -1)

    def judge(self, variables, maps):
        return maps.mean((1, 2)) @ self.weights.T


def test_attention_of_a_linear_diagnoser_by_hand():
    image = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype(np.float32)
    tandem = Tandem(None, None, (Linear(),), SPEC)
    found = panels.attention(tandem, {"diagnosers": ({"top": 3.0},)}, image)
    np.testing.assert_allclose(found["grade"], image[..., 0] / 16, rtol=1e-6)
    np.testing.assert_allclose(
        found["type"], np.maximum(-2 * image[..., 0] + 0.5 * (3 - image[..., 0]), 0) / 16, rtol=1e-5
    )
    assert panels.attention(Tandem(None, None, (), SPEC), {"diagnosers": ()}, image) == {}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"m": {"a": 0.9, "b": 0.0}}, "b"),
        ({"m": {"a": 0.0, "b": 0.9}}, "a"),
        ({"m": {"a": 0.75, "b": 0.25}}, "a"),
        ({}, "a"),
    ],
)
def test_a_score_may_move_down_as_well_as_up_and_ties_go_to_the_first_task(after, expected):
    assert panels.most_moved({"a": 0.5, "b": 0.5}, after, ("a", "b"), {}) == expected


def test_one_example_is_cut_out_of_the_batch_with_what_is_known_of_it():
    pixels = np.arange(2 * 4, dtype=np.float32).reshape(2, 2, 2, 1) / 8
    mask = np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))])
    table = pd.DataFrame({"example_id": ["x", "y"], "sex": ["F", None], "grade": [0.0, 1.0]})
    diagnosis = {
        "grade": np.array([0.1, 0.2]),
        "tumor": np.stack([np.full((2, 2), 0.49), np.full((2, 2), 0.5)]),
    }
    moved = {**diagnosis, "grade": np.array([0.1, 0.9])}
    common = {
        "degraded": pixels / 2,
        "original": {"diagnosis": diagnosis, "attention": {"grade": np.zeros((2, 2, 2))}},
    }
    common |= {"reconstructed": {"diagnosis": moved, "attention": {"grade": np.ones((2, 2, 2))}}}
    drawn = {
        "identity": {**common, "reconstruction": pixels / 2},
        "unet": {**common, "reconstruction": pixels / 4},
    }
    ladder = {4.0: pixels[..., 0] / 3, 8.0: pixels[..., 0] / 2}
    workspace = types.SimpleNamespace(spec=SPEC, cohort=types.SimpleNamespace(table=table))
    panel = panels._panel(
        workspace,
        8.0,
        1,
        1,
        {"image": pixels, "mask": mask},
        drawn,
        {"grade": 0.3, "other": 0.1},
        ladder,
    )
    np.testing.assert_array_equal(panel.original, pixels[1, ..., 0])
    np.testing.assert_array_equal(panel.reconstructions["unet"], pixels[1, ..., 0] / 4)
    assert set(panel.reconstructions) == {"unet"}, "the degraded image is shown anyway"
    assert panel.truth.all()
    assert panel.mask_original.all(), "a mask probability of one half is inside"
    assert (panel.scores_original, panel.scores_reconstructed) == (
        {"grade": 0.2},
        {"unet": {"grade": 0.9}},
    )
    assert (panel.labels, panel.thresholds, panel.attention_task) == (
        {"grade": 1.0},
        {"grade": 0.3},
        "grade",
    )
    assert panel.attention_reconstructed["unet"].all()
    assert (panel.caption, panel.identifier) == ("sex unknown", "y")
    np.testing.assert_array_equal(panel.degraded_levels[4.0], pixels[1, ..., 0] / 3)
    alone = panels._panel(
        workspace,
        8.0,
        0,
        0,
        {"image": pixels, "mask": mask},
        {"identity": drawn["identity"]},
        {},
        ladder,
    )
    assert set(alone.reconstructions) == {"identity"}, "unless it is all there is"
    assert not alone.mask_original.any()
    assert (alone.caption, alone.thresholds) == ("sex F", {})
