"""AUROC in validation: that of scikit-learn over all examples, and what it selects."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.diagnosers import Classifier
from fairrecon_jax.diagnosers.ranking import mean_auroc
from fairrecon_jax.runtime.devices import map_step
from fairrecon_jax.training import Together
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.evaluation import evaluate
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.metrics_writer import read_metrics
from fairrecon_jax.training.step import eval_step
from fairrecon_jax.types import InputError
from tests.support.training_fakes import FakeCohort, FakeReconstructor, degrade

KEY = jax.random.key(0)
COHORT = FakeCohort(60)


class Ranking(NamedTuple):
    """Labels and scores [N, T], weights [N]."""

    label: Any
    score: Any
    weight: Any


def drawn(count: int = 90) -> Ranking:
    """Four tasks with ties and unknown labels, the last with one class alone."""
    r = np.random.default_rng(3)
    label = (r.random((count, 4)) < [0.5, 0.2, 0.9, 1.0]).astype(float)
    score = np.round(r.normal(size=(count, 4)) + label, 1)
    label[r.random((count, 4)) < 0.3] = np.nan
    return Ranking(label, score, r.integers(0, 3, count).astype(float))


def by_scikit_learn(ranking: Ranking) -> float:
    """The mean over tasks that have both labels."""
    values = []
    for label, score in zip(ranking.label.T, ranking.score.T):
        kept = ~np.isnan(label) & (ranking.weight > 0)
        if len(set(label[kept])) == 2:
            weight = ranking.weight[kept]
            values.append(roc_auc_score(label[kept], score[kept], sample_weight=weight))
    return float(np.mean(values))


def test_the_mean_is_that_of_scikit_learn_over_tasks_with_both_labels() -> None:
    ranking = drawn()
    assert mean_auroc(*ranking) == pytest.approx(by_scikit_learn(ranking), rel=1e-12)
    none = np.where(ranking.label == 1, 1.0, np.nan)
    assert mean_auroc(*ranking._replace(label=none)) is None
    assert mean_auroc(*ranking._replace(weight=0 * ranking.weight)) is None
    broken = np.where(np.arange(90)[:, None] == 4, np.nan, ranking.score)
    assert np.isnan(ranking.label[4]).sum() < 4
    assert ranking.weight[4] > 0
    assert np.isnan(mean_auroc(*ranking._replace(score=broken)) or 0.0)


@dataclasses.dataclass(frozen=True)
class Sorter(FakeReconstructor):
    """Scores that tell the labels apart best where the scale is 0.92."""

    def ranking(self, variables: Any, batch: Any) -> Ranking:
        noise = jnp.mean(batch["image"], axis=(1, 2, 3))[:, None] * 3
        apart = 0.3 - 2.4 * abs(variables["params"]["net"]["scale"] - 0.92)
        return Ranking(batch["labels"], noise + batch["labels"] * apart, batch["weight"])

    @property
    def validation_metrics(self) -> Any:
        return {"error": "min", "auroc": "max"}

    def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
        found = super().evaluate(variables, batch, key)
        *values, weight = self.ranking(variables, batch)
        return {**found, "auroc": Together(tuple(values), weight, mean_auroc)}


@pytest.mark.parametrize("devices", [1, 4])
def test_batches_devices_and_padding_make_no_difference(devices: int) -> None:
    rows = np.arange(30)
    whole = degrade(read_rows(COHORT, rows), KEY)
    variables = Sorter().init(KEY, whole)
    variables["params"]["net"]["scale"] = jnp.float32(0.9)
    step = map_step(eval_step(Sorter(), KEY, degrade), devices, donate=False)
    found = evaluate(step, variables, (COHORT, rows), 8)["auroc"]
    ranking = Sorter().ranking(variables, whole)
    wanted = roc_auc_score(ranking.label[:, 0], ranking.score[:, 0])
    assert found == pytest.approx(wanted, rel=1e-12)
    parts = [slice(start, start + 8) for start in range(0, 30, 8)]
    means = [roc_auc_score(ranking.label[part, 0], ranking.score[part, 0]) for part in parts]
    assert abs(np.mean(means) - wanted) > 0.005
    first = evaluate(step, variables, (COHORT, rows), 8, batches=1)["auroc"]
    assert first == pytest.approx(means[0], rel=1e-12)


VALIDATION = np.arange(30, 60)
CONFIG = TrainConfig(
    steps=40,
    batch_size=4,
    learning_rate=0.05,
    schedule="constant",
    eval_every=2,
    eval_batch_size=8,
    selection="auroc",
)


def learn(folder: Path, config: TrainConfig = CONFIG, rows: Any = VALIDATION) -> Any:
    """The weights and `final`'s facts."""
    source = (COHORT, np.arange(30))
    return fit(Sorter(), source, (COHORT, rows), config, folder, prepare=degrade, devices=1)


def test_the_highest_is_kept_and_patience_counts_from_it(tmp_path: Path) -> None:
    kept = learn(tmp_path / "all")
    lines = [line for line in read_metrics(tmp_path / "all/metrics.jsonl") if "auroc" in line]
    values, errors = ([line[name] for line in lines] for name in ("auroc", "error"))
    best = int(np.argmax(values))
    assert 0 < best < len(values) - 4
    # the mean error alone would keep others
    assert int(np.argmin(errors)) != best
    whole = degrade(read_rows(COHORT, VALIDATION), KEY)
    ranking = Sorter().ranking(kept, whole)
    assert roc_auc_score(ranking.label[:, 0], ranking.score[:, 0]) == pytest.approx(values[best])
    assert json.loads((tmp_path / "all/run.json").read_text())["config.selection_mode"] == "max"

    learn(tmp_path / "early", dataclasses.replace(CONFIG, patience=3))
    seen = [line["step"] for line in read_metrics(tmp_path / "early/metrics.jsonl")]
    assert seen[-1] == 2 * (best + 1 + 3)


def test_a_validation_of_one_label_cannot_select(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no validation example has the selection metric 'auroc'"):
        learn(tmp_path, rows=np.arange(31, 60, 2))


def test_a_classifier_ranks_its_own_tasks() -> None:
    chest = Classifier(("b", "a"), columns=(1, 0), backbone="resnet18", width=2, bn_axis=None)
    r = np.random.default_rng(0)
    labels = (r.random((12, 3)) < 0.5).astype(np.float32)
    labels[3, 1] = np.nan
    batch = {
        "image": r.random((12, 16, 16, 1), np.float32),
        "labels": labels,
        "weight": np.ones(12, np.float32),
    }
    variables = chest.init(KEY, batch)
    found = chest.evaluate(variables, batch, KEY)["auroc"]
    scores = np.asarray(chest.predict(variables, batch["image"]))
    wanted = by_scikit_learn(Ranking(labels[:, [1, 0]], scores, batch["weight"]))
    assert found.of(*found.values, found.weight) == pytest.approx(wanted, rel=1e-12)
    assert TrainConfig(9, 2, selection="auroc").resolve(chest.validation_metrics).selection_mode
    assert TrainConfig(9, 2).resolve(chest.validation_metrics).selection == "loss"
