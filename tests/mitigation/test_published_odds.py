"""The equalised-odds term as it is published: thresholds of each batch, and rates of 0 where a
group has no example.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_curve

from fairrecon_jax.mitigation import EqualisedOdds
from tests.mitigation.test_equalised_odds import by_hand
from tests.support.mitigation_fakes import batch, context, gradient_of, seen, value_of

KEY = jax.random.key(0)
SIZE = 32


def drawn(seed: int) -> dict[str, np.ndarray]:
    """A batch whose classes overlap, with unknown labels, and an estimate; the last four are
    padding.
    """
    r = np.random.default_rng(seed)
    whole = batch(SIZE, seed)
    moved = 0.12 * r.standard_normal((SIZE, 1, 2, 1)).repeat(4, 2).astype(np.float32)
    whole["image"] = (whole["image"] + moved).clip(0, 1)
    whole["labels"][r.random((SIZE, 2)) < 0.2] = np.nan
    whole["weight"][-4:] = 0
    return seen(whole)


def scores(whole: dict[str, np.ndarray]) -> np.ndarray:
    """What the diagnoser says, [B, 2]."""
    frozen = context("bright").diagnosers[0]
    return np.asarray(frozen.diagnoser.predict(frozen.variables, whole["clean"]))


def by_scikit_learn(whole: dict[str, np.ndarray]) -> np.ndarray:
    """The balanced threshold of each task, the smallest where several are as good."""
    found = []
    for label, score in zip(whole["labels"].T, scores(whole).T):
        kept = ~np.isnan(label) & (whole["weight"] > 0)
        alarmed, sensitivity, threshold = roc_curve(
            label[kept], score[kept], drop_intermediate=False
        )
        cost = np.abs(1 - alarmed - sensitivity)
        found.append(threshold[cost <= cost.min() + 1e-6].min())
    return np.array(found)


def start(**fields):
    objective = EqualisedOdds(**fields).objective(context("bright"))
    return objective, objective.init(KEY, drawn(0))


@pytest.mark.parametrize("devices", [1, 4])
def test_the_threshold_is_that_of_scikit_learn_on_the_whole_batch(devices):
    objective, state = start(threshold="batch")
    call = value_of(objective, devices)
    for seed in range(6):
        whole = drawn(seed)
        _, state, _ = call(state, whole)
        wanted = by_scikit_learn(whole)
        np.testing.assert_allclose(state["tau"], wanted, rtol=1e-6)
        assert np.abs(wanted - 0.5).max() > 0.02


def test_decisions_are_taken_at_the_threshold_of_their_own_batch():
    objective, state = start(threshold="batch", decay=0.0, warmup=0, task_weight=0.0)
    whole = drawn(1)
    # one threshold for both tasks, as the loops have
    whole["labels"][:, 1] = np.nan
    tau = float(by_scikit_learn({**whole, "labels": whole["labels"][:, :1]})[0])
    kept = {name: value[whole["weight"] > 0] for name, value in whole.items()}
    value, _, metrics = value_of(objective)(state, whole)
    worst = by_hand(kept, tau)[1]
    assert float(metrics["soft_eodd"]) == pytest.approx(worst, rel=1e-5)
    assert float(value) == pytest.approx(worst**2, rel=1e-5)
    assert abs(by_hand(kept, 0.5)[1] - worst) > 1e-4


def test_as_published_the_threshold_is_a_running_mean():
    objective, state = start(threshold="running")
    call, wanted = value_of(objective), np.full(2, 0.5)
    for seed in range(6):
        _, state, _ = call(state, drawn(seed))
        wanted = 0.9 * wanted + 0.1 * by_scikit_learn(drawn(seed))
        np.testing.assert_allclose(state["tau"], wanted, rtol=1e-6)


@pytest.mark.parametrize("threshold", ["batch", "running"])
@pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
def test_a_task_of_one_class_keeps_its_threshold(threshold, label):
    objective, state = start(threshold=threshold)
    call, single = value_of(objective), drawn(2)
    single["labels"][:, 0] = np.where(np.isnan(single["labels"][:, 0]), np.nan, label)
    value, after, _ = call(state, single)
    assert float(after["tau"][0]) == 0.5
    assert float(after["tau"][1]) != 0.5
    moved = call(after, drawn(3))[1]
    assert float(moved["tau"][0]) != 0.5
    value, again, _ = call(moved, single)
    assert float(again["tau"][0]) == float(moved["tau"][0])
    assert np.isfinite(float(value))
    assert np.isfinite(gradient_of(objective)[0](single["clean"], moved, single)).all()


def test_no_gradient_goes_through_the_threshold_and_no_step_calls_the_host():
    whole = drawn(1)
    fields = {"decay": 0.0, "warmup": 0, "task_weight": 0.0, "tasks": ("oedema",)}
    fitted, state = start(threshold="batch", **fields)
    tau = float(value_of(fitted)(state, whole)[1]["tau"][0])
    fixed, other = start(threshold=tau, **fields)
    ours, wanted = (
        gradient_of(one)[0](whole["clean"], kept, whole)
        for one, kept in ((fitted, state), (fixed, other))
    )
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-8)
    assert np.abs(wanted).max() > 1e-4
    program = gradient_of(fitted)[0].lower(whole["clean"], state, whole).as_text()
    assert "callback" not in program


def test_without_a_smallest_count_a_group_without_positives_reads_0():
    whole = drawn(1)
    whole["attributes"][:, 0] = np.arange(SIZE) % 2
    whole["attributes"][:, 1] = 0  # one race alone, which has no gap; nobody is of the others
    women = whole["attributes"][:, 0] == 0
    whole["labels"][:, 1] = np.nan
    whole["labels"][:, 0] = np.where(women, 0.0, np.arange(SIZE) // 2 % 2)
    fields = {"decay": 0.0, "warmup": 0, "tasks": ("oedema",)}
    soft = 1 / (1 + np.exp(-(scores(whole)[:, 0] - 0.5) / 0.3))
    men, kept = ~women, whole["weight"] > 0
    positive = soft[men & kept & (whole["labels"][:, 0] == 1)].mean()
    negative = [soft[g & kept & (whole["labels"][:, 0] == 0)].mean() for g in (men, women)]
    published, state = start(min_count=0.0, **fields)
    found = value_of(published)(state, whole)[2]["soft_eodd"]
    assert float(found) == pytest.approx(max(positive, abs(negative[0] - negative[1])), rel=1e-5)
    assert float(found) == pytest.approx(positive, rel=1e-5)
    one, state = start(min_count=0.0, attributes=("race",), **fields)
    assert float(value_of(one)(state, whole)[2]["soft_eodd"]) == 0
    # of the groups that can be compared
    ours, state = start(min_count=1.0, **fields)
    found = value_of(ours)(state, whole)[2]["soft_eodd"]
    assert float(found) == pytest.approx(abs(negative[0] - negative[1]), rel=1e-4)
