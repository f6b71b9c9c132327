from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from fairrecon_jax.training.metrics_writer import MetricsWriter, NoWriter, read_metrics
from fairrecon_jax.types import InputError


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.write(1, "train", {"loss": 0.5})
    writer.write(1, "val", {"psnr": 20})
    writer.sync()
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "split": "train", "loss": 0.5},
        {"step": 1, "split": "val", "psnr": 20.0},
    ]
    writer.close()


def test_continuing_drops_later_and_broken_lines(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for step in range(1, 6):
        writer.write(step, "train", {"loss": step})
    writer.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 6, "spl', encoding="utf-8")
    again = MetricsWriter(tmp_path, step=3)
    again.write(4, "train", {"loss": 40})
    again.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 40),
    ]


def test_numbers_that_are_not_finite_stay_json(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.write(1, "train", {"auroc": float("nan"), "psnr": float("inf")})
    writer.close()

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert line["auroc"] is None
    assert line["psnr"] is None


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2 is not JSON"):
        MetricsWriter(tmp_path)


def test_tensorboard_asks_for_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"fairrecon_jax\[tensorboard\]"):
        MetricsWriter(tmp_path, tensorboard=True)


def test_tensorboard_gets_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int):
            calls.append(("open", Path(folder).name, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, value, step))

        def close(self) -> None:
            calls.append(("close",))

    monkeypatch.setitem(
        sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=SummaryWriter)
    )
    writer = MetricsWriter(tmp_path, step=4, tensorboard=True)
    writer.write(5, "val", {"psnr": 20.0})
    writer.close()
    assert calls == [("open", "tensorboard", 5), ("val/psnr", 20.0, 5), ("close",)]


def test_weights_and_biases_asks_for_its_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"fairrecon_jax\[wandb\]"):
        MetricsWriter(tmp_path, wandb=True)


def test_weights_and_biases_gets_the_same_numbers_under_one_name(tmp_path, monkeypatch) -> None:
    opened: list[dict] = []
    calls: list[tuple] = []

    def init(**given: object) -> types.SimpleNamespace:
        opened.append(given)
        return types.SimpleNamespace(
            log=lambda values, step: calls.append((values, step)),
            finish=lambda: calls.append(("finish",)),
        )

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    for step in (0, 4, 0):
        writer = MetricsWriter(tmp_path, step=step, wandb=True)
        writer.write(step + 1, "val", {"psnr": 20.0})
        writer.close()
    assert calls[:2] == [({"val/psnr": 20.0}, 1), ("finish",)]
    assert calls[2:4] == [({"val/psnr": 20.0}, 5), ("finish",)]
    names = [given["id"] for given in opened]
    assert names[0] == names[1] != names[2], "continued under its name, begun under another"
    assert {given["project"] for given in opened} == {"mine"}
    assert {given["resume"] for given in opened} == {"allow"}
    assert {given["dir"] for given in opened} == {str(tmp_path)}


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    silent = NoWriter()
    silent.write(1, "train", {"loss": 1.0})
    silent.sync()
    silent.close()
    assert list(tmp_path.iterdir()) == []
