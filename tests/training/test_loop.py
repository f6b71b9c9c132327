from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.reconstructors.unet import UNetReconstructor
from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.metrics_writer import read_metrics
from fairrecon_jax.types import InputError, TrainingDiverged
from tests.support.training_fakes import FakeCohort, FakeGan, FakeReconstructor, degrade

COHORT = FakeCohort(22)
TRAIN, VAL = (COHORT, np.arange(16)), (COHORT, np.arange(16, 22))
CONFIG = TrainConfig(
    steps=20,
    batch_size=4,
    learning_rate=0.05,
    schedule="constant",
    eval_every=0,
    eval_batch_size=0,
    log_every=5,
    checkpoint_every=10,
    keep=2,
)
SELECT = dataclasses.replace(CONFIG, eval_every=4, selection="error", selection_mode="min")


def learn(
    workdir: Path,
    config: TrainConfig = CONFIG,
    trainable: Any = None,
    val: Any = VAL,
    devices: int = 1,
    **more: Any,
) -> Any:
    return fit(
        trainable or FakeReconstructor(),
        TRAIN,
        val,
        config,
        workdir,
        prepare=degrade,
        devices=devices,
        **more,
    )


def facts(workdir: Path) -> dict[str, Any]:
    return load_variables(workdir / "final")[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run of the plain choices and what it returned; tests read its folder only."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, learn(workdir)


def test_it_learns_and_leaves_weights_log_and_choices(tmp_path: Path) -> None:
    variables = learn(tmp_path, dataclasses.replace(SELECT, steps=200, eval_every=50))
    assert float(variables["params"]["net"]["scale"]) == pytest.approx(
        1 / (1 + 0.01 / (1 / 12)), abs=0.15
    )  # Wiener gain, roughly
    errors = [
        line["error"] for line in read_metrics(tmp_path / "metrics.jsonl") if line["split"] == "val"
    ]
    assert min(errors) < 0.02
    meta = facts(tmp_path)
    assert (meta["best"], meta["best_step"]) == (min(errors), 50 * (1 + errors.index(min(errors))))
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["config.steps"] == 200
    assert written["train_source"].startswith("int64[16] ")


def test_one_and_four_devices_agree(tmp_path: Path) -> None:
    config = dataclasses.replace(SELECT, ema=0.9, eval_batch_size=8)
    one, four = (learn(tmp_path / str(n), config, FakeGan(), devices=n) for n in (1, 4))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    logs = [[line for line in read_metrics(tmp_path / n / "metrics.jsonl")] for n in ("1", "4")]
    for a, b in zip(*logs, strict=True):
        for name in set(a) - {"split", "steps_per_second"}:
            assert a[name] == pytest.approx(b[name], rel=1e-4)


def test_averaged_parameters_are_judged_and_returned(tmp_path: Path) -> None:
    """At a constant rate, the result of three averaged steps is the weighted mean of what one, two
    and three steps return.
    """

    class Shown(FakeReconstructor):
        def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
            return {
                "error": (
                    variables["params"]["net"]["scale"] + 0 * batch["weight"],
                    batch["weight"],
                )
            }

    config = dataclasses.replace(SELECT, schedule="constant", warmup_steps=0)
    plain = [
        learn(
            tmp_path / str(n), dataclasses.replace(config, steps=n, ema=0.0, eval_every=n), Shown()
        )["params"]["net"]["scale"]
        for n in (1, 2, 3)
    ]
    mean = learn(
        tmp_path / "mean", dataclasses.replace(config, steps=3, ema=0.8, eval_every=3), Shown()
    )["params"]["net"]["scale"]
    assert float(mean) == pytest.approx(np.average(plain, weights=[0.64, 0.8, 1.0]), rel=1e-5)
    assert float(mean) != pytest.approx(float(plain[-1]), rel=1e-4)
    assert facts(tmp_path / "mean")["best"] == pytest.approx(float(mean), rel=1e-5)


def test_the_best_variables_are_returned_not_the_last(tmp_path: Path) -> None:
    class Rising(FakeReconstructor):
        def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
            scale = variables["params"]["net"]["scale"]
            return {"error": (-abs(scale - 0.3) + 0 * batch["weight"], batch["weight"])}

    config = dataclasses.replace(SELECT, learning_rate=0.2)
    last = learn(tmp_path / "last", config, Rising(), val=None)
    best = learn(tmp_path / "best", config, Rising())
    assert facts(tmp_path / "last")["best"] is None
    step = facts(tmp_path / "best")["best_step"]
    values = {
        line["step"]: line["error"]
        for line in read_metrics(tmp_path / "best" / "metrics.jsonl")
        if line["split"] == "val"
    }
    assert values[step] == min(values.values())
    assert -abs(float(best["params"]["net"]["scale"]) - 0.3) == pytest.approx(
        values[step], rel=1e-5
    )
    assert -abs(float(last["params"]["net"]["scale"]) - 0.3) >= values[step]


def test_patience_ends_the_run(tmp_path: Path) -> None:
    class Worse(FakeReconstructor):
        def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
            return {"error": (1.0 + 0 * batch["weight"], batch["weight"])}

    learn(tmp_path, dataclasses.replace(SELECT, patience=2), Worse())
    assert (facts(tmp_path)["best_step"], facts(tmp_path)["steps"]) == (4, 12)


def test_a_finished_run_is_read_back(
    finished: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, first = finished
    before = (workdir / "metrics.jsonl").stat().st_mtime_ns

    def begun(*_: Any) -> Any:
        raise AssertionError("a finished run was begun again")

    monkeypatch.setattr(FakeReconstructor, "init", begun)
    second = learn(workdir)
    assert jax.tree.all(jax.tree.map(np.array_equal, first, second))
    assert (workdir / "metrics.jsonl").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"config": dataclasses.replace(CONFIG, learning_rate=0.1)},
            r"config.learning_rate was 0.05, now 0.1",
        ),
        ({"trainable": FakeGan()}, "trainable.name was 'fake', now 'fake_gan'"),
        ({"val": None}, r"val_source was 'int64\[6\] .*', now None"),
        ({"choices": {"level": 8}}, "choices.level was None, now 8"),
        ({"weights": np.ones(16)}, "weights was None"),
    ],
)
def test_other_choices_in_the_same_workdir_are_refused(
    finished: tuple[Path, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        learn(finished[0], **change)


@dataclasses.dataclass(frozen=True)
class Fragile(FakeCohort):
    """Breaks when the marker file is there and so many examples have been read."""

    marker: str = ""
    read: list[int] = dataclasses.field(default_factory=list)

    def example(self, i: int) -> dict[str, Any]:
        self.read.append(i)
        if Path(self.marker).exists() and len(self.read) > 60:
            raise OSError("the disk is gone")
        return super().example(i)


def interrupted(workdir: Path, config: TrainConfig, trainable: Any) -> None:
    """Ends somewhere behind the checkpoint of step 10."""
    workdir.mkdir()
    marker = workdir.with_suffix(".broken")
    marker.touch()
    with pytest.raises(OSError, match="the disk is gone"):
        fit(
            trainable,
            (Fragile(22, marker=str(marker)), TRAIN[1]),
            VAL,
            config,
            workdir,
            prepare=degrade,
            devices=1,
        )
    assert (workdir / "checkpoints" / "10").is_dir()


def test_harmless_choices_may_change_on_continuing(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    interrupted(tmp_path / "run", CONFIG, FakeReconstructor())
    resumed = learn(
        tmp_path / "run",
        dataclasses.replace(CONFIG, workers=1, keep=5, checkpoint_every=7, log_every=1),
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, finished[1], resumed))


def test_patience_is_not_lost_where_a_run_is_cut_short(tmp_path: Path) -> None:
    class Worse(FakeReconstructor):
        def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
            return {"error": (1.0 + 0 * batch["weight"], batch["weight"])}

    # best at 4, waiting since: once at 8, before the checkpoint of 10, then at 12 and 16
    config = dataclasses.replace(SELECT, patience=3)
    straight = learn(tmp_path / "straight", config, Worse())
    interrupted(tmp_path / "run", config, Worse())
    resumed = learn(tmp_path / "run", config, Worse())
    jax.tree.map(np.testing.assert_array_equal, straight, resumed)
    for name in ("straight", "run"):
        assert (facts(tmp_path / name)["best_step"], facts(tmp_path / name)["steps"]) == (4, 16)


def test_a_network_with_batch_statistics_continues_bit_for_bit(tmp_path: Path) -> None:
    network = UNetReconstructor(width=4, depth=1, norm="batch")
    config = dataclasses.replace(
        SELECT, selection="psnr", selection_mode="max", ema=0.9, eval_every=8
    )
    straight = learn(tmp_path / "straight", config, network)
    interrupted(tmp_path / "run", config, network)
    resumed = learn(tmp_path / "run", config, network)
    assert jax.tree.all(jax.tree.map(np.array_equal, straight, resumed))
    assert float(jax.tree.leaves(resumed["batch_stats"])[0].std()) > 0
    with pytest.raises(ValueError, match=r"trainable.width was 4, now 8"):
        learn(tmp_path / "run", config, dataclasses.replace(network, width=8))


def test_a_loss_that_is_not_finite_names_step_and_checkpoint(tmp_path: Path) -> None:
    class Broken(FakeReconstructor):
        def loss(self, variables: Any, batch: Any, key: Any, train: bool) -> Any:
            value, out = super().loss(variables, batch, key, train)
            mean = variables["batch_stats"]["net"]["mean"]
            return value / jax.numpy.where(
                mean > 0.4, 0.0, 1.0
            ), out  # after a dozen steps the running mean is there

    with pytest.raises(
        TrainingDiverged,
        match=r"fake: loss is inf at step \d+; the last checkpoint is step \d+ in .*checkpoints",
    ):
        learn(
            tmp_path,
            dataclasses.replace(CONFIG, steps=100, checkpoint_every=3, learning_rate=0.0),
            Broken(),
        )
    assert not (tmp_path / "final").exists()
    with pytest.raises(TrainingDiverged, match="there is no checkpoint yet"):
        learn(
            tmp_path / "early",
            dataclasses.replace(CONFIG, steps=100, checkpoint_every=90, learning_rate=0.0),
            Broken(),
        )


@pytest.mark.parametrize("change", [{"checkpoint_every": 50}, {"checkpoint_every": 1, "ema": 0.9}])
def test_a_finite_loss_with_an_infinite_slope_leaves_no_weights(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    class Steep(FakeReconstructor):
        def loss(self, variables: Any, batch: Any, key: Any, train: bool) -> Any:
            value, out = super().loss(variables, batch, key, train)
            return value + jax.numpy.sqrt(0.0 * variables["params"]["net"]["scale"]), out

    for _ in range(2):
        with pytest.raises(
            TrainingDiverged,
            match="fake: a parameter is not finite at step 1; there is no checkpoint yet",
        ):
            learn(tmp_path, dataclasses.replace(CONFIG, steps=1, **change), Steep())
        assert not (tmp_path / "final").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            dataclasses.replace(CONFIG, batch_size=6),
            "batch_size 6 does not divide over 4 devices: use a multiple of 4, or fewer devices",
        ),
        (
            dataclasses.replace(CONFIG, eval_batch_size=3),
            "eval_batch_size 3 does not divide over 4 devices",
        ),
    ],
)
def test_batches_must_divide_over_devices(
    tmp_path: Path, config: TrainConfig, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        learn(tmp_path, config, devices=4)


def test_an_unknown_selection_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fake: selection 'psnr' is none of error"):
        learn(tmp_path, dataclasses.replace(SELECT, selection="psnr"))
    assert not any(tmp_path.iterdir())
    learn(tmp_path, SELECT)
    with pytest.raises(InputError, match="selection was 'error', now ''"):
        learn(tmp_path, dataclasses.replace(SELECT, selection=""))


def test_a_validation_that_measures_nothing_is_told_from_one_that_diverged(tmp_path: Path) -> None:
    class Blind(FakeReconstructor):
        def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
            return {"error": (jax.numpy.ones_like(batch["weight"]), 0 * batch["weight"])}

    with pytest.raises(
        ValueError, match="fake: no validation example has the selection metric 'error'"
    ):
        learn(tmp_path / "blind", SELECT, Blind())
    learn(
        tmp_path / "unselected",
        dataclasses.replace(CONFIG, steps=2, eval_every=1, selection=""),
        Blind(),
    )
    with pytest.raises(
        ValueError,
        match="fake: there is no validation example; add some, or set selection='' and "
        "eval_every=0",
    ):
        learn(tmp_path / "empty", SELECT, val=(COHORT, np.arange(0)))
    assert not (tmp_path / "empty" / "metrics.jsonl").exists()


def test_training_continues_from_given_variables(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    first = finished[1]
    same = learn(tmp_path / "same", dataclasses.replace(CONFIG, learning_rate=0.0), initial=first)
    np.testing.assert_array_equal(first["params"]["net"]["shift"], same["params"]["net"]["shift"])
    wrong = {"params": {"net": {"scale": np.float32(1)}}, "batch_stats": first["batch_stats"]}
    with pytest.raises(ValueError, match=r"\['shift'\] is absent, expected \(1, 4, 4, 1\)"):
        learn(tmp_path / "wrong", initial=wrong)


def test_evaluation_counts_every_example_once(tmp_path: Path) -> None:
    variables = learn(tmp_path, dataclasses.replace(SELECT, eval_batch_size=4, eval_every=20))
    batch = read_rows(*VAL)
    key = jax.random.fold_in(
        jax.random.fold_in(jax.random.key(0), 1), 0
    )  # stream 1 of the root, stream 0 of the evaluation
    errors, _ = FakeReconstructor().evaluate(variables, degrade(batch, key), key)["error"]
    assert facts(tmp_path)["best"] == pytest.approx(float(np.mean(errors)), rel=1e-5)
    learn(
        tmp_path / "part",
        dataclasses.replace(SELECT, eval_batch_size=4, eval_every=20, eval_batches=1),
    )
    assert facts(tmp_path / "part")["best"] == pytest.approx(float(np.mean(errors[:4])), rel=1e-5)
