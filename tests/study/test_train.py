"""Trainings of a study and imports in their place: what lies there already is never overwritten,
and what a training depends on is said once.
"""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.diagnosers import Classifier, class_balance
from fairrecon_jax.study import inputs, train
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.train import (
    content,
    degrader,
    import_weights,
    imported,
    run_choices,
    saved,
    train_diagnoser,
    train_reconstructor,
)
from fairrecon_jax.types import Cell, InputError, Task
from tests.support.study_fakes import opened

UNET = Cell("unet", 8.0)


@pytest.fixture
def context(tmp_path) -> Context:
    return opened(tmp_path, pd.DataFrame({"sex": ["F", "M"]}))


def test_imported_weights_are_known_by_their_digest_and_never_trained_over(context):
    assert imported(context, UNET) == ""
    folder = context.workdir.model(UNET)
    assert saved(folder) == {}
    meta = folder / "final" / "meta"
    meta.mkdir(parents=True)
    (meta / "metadata").write_text(json.dumps({"digest": "abc", "name": "unet"}))
    assert imported(context, UNET) == "", "trained here"
    (meta / "metadata").write_text(json.dumps({"digest": "abc", "imported": {}}))
    assert imported(context, UNET) == "abc"
    assert imported(context, Cell("unet", 4.0)) == ""
    assert saved(folder) == {"digest": "abc", "imported": {}}
    with pytest.raises(InputError, match=r"unet.8 holds imported weights: remove it to train"):
        train_reconstructor(context, UNET)


def test_weights_are_not_imported_over_a_training(context):
    folder = context.workdir.model(UNET)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    with pytest.raises(
        InputError,
        match="holds a training run: remove it to put imported weights there, or choose "
        "another folder",
    ):
        import_weights(context, UNET, ["net.pth"])


def test_a_reconstructor_without_a_training_is_named(context):
    with pytest.raises(InputError, match=r"^config\.reconstructors\.identity has no block train$"):
        train_reconstructor(context, Cell("identity", 8.0))


def test_a_file_is_known_by_its_content(tmp_path):
    file = tmp_path / "net.pth"
    assert content(file) == content(tmp_path) == ""
    file.write_bytes(b"12345")
    assert content(file) == (
        "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"  # sha256sum
    )


def test_a_training_writes_down_its_data_and_not_itself_twice(context):
    declared = inputs.reconstructor(context.study, Cell("unet", 8.0))
    choices = run_choices(context, declared)
    assert choices["splits"] == "digest"
    assert choices["level"] == 8.0
    assert {"augment", "degradation", "name", "image_size"} <= set(choices)
    assert not {"model", "train", "fine_tuning"} & set(choices)


def test_training_images_are_degraded_at_their_level_with_noise_by_example(context):
    batch = {
        "image": np.random.default_rng(0).random((2, 32, 32, 1), np.float32),
        "example_id": np.array([[1, 2], [3, 4]], np.uint32),
        "weight": np.ones(2, np.float32),
    }
    key = jax.random.key(0)
    mild, strong = (degrader(context, level)(batch, key)["degraded"] for level in (2.0, 8.0))
    assert mild.shape == strong.shape == batch["image"].shape
    error = [float(np.mean((found - batch["image"]) ** 2)) for found in (mild, strong)]
    assert 0 < error[0] < error[1]
    assert degrader(context, 8.0)(batch, key)["weight"] is batch["weight"]


def test_a_diagnoser_is_trained_on_classes_and_tasks_as_its_block_balances_them(
    tmp_path, monkeypatch
):
    table = pd.DataFrame({"sex": ["F", "M"] * 3})
    context = opened(tmp_path, table)
    one = context.study.diagnosers["tumor"]
    model = Classifier(("grade", "type"), (0, 1), "resnet18", width=2)
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, 1], [0, 0], [0, 0]], np.float32)
    given = {}
    monkeypatch.setattr(train, "fit", lambda *args, **fields: given.update(fields, args=args))
    monkeypatch.setattr(type(context), "rows", lambda self, *_: np.arange(6))
    monkeypatch.setattr(type(context.cohort), "labels", lambda self: labels, raising=False)
    tasks = (Task("grade", "classification"), Task("type", "classification"))
    monkeypatch.setattr(context, "spec", dataclasses.replace(context.spec, tasks=tasks))
    plain = inputs.diagnoser(context.study, "tumor")
    for on in ({}, {"balance": True}, {"rare_first": True}):
        fitted = dataclasses.replace(one.train, selection="loss", selection_mode="min")
        chosen = dataclasses.replace(one, model=model, train=fitted, **on)
        study = dataclasses.replace(context.study, diagnosers={"tumor": chosen})
        monkeypatch.setattr(context, "study", study)
        train_diagnoser(context, "tumor")
        wanted = class_balance(labels).tolist() if "balance" in on else None
        assert (None if given["weights"] is None else given["weights"].tolist()) == wanted
        assert given["args"][0].task_weight == ((1.0, 0.6) if "rare_first" in on else ())
        declared = inputs.diagnoser(study, "tumor")
        assert set(declared) - set(plain) == set(on)
