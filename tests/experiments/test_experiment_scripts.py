"""The scripts around the studies: their tables by hand, what they ask of a study, and what their
command lines mean.
"""

from __future__ import annotations

import importlib
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import mitigation, planted, quickstart, samplers
from experiments.tables import markdown
from fairrecon_jax.keys import digest
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.plan import plan
from fairrecon_jax.tandem import TandemInputs

# -- tables


def test_a_markdown_table_by_hand():
    table = pd.DataFrame(
        {
            "name": ["a", "b"],
            "n": [12345, 2],
            "x": [0.123456, float("nan")],
            "y": [np.float32(2.5), 123456.0],
        }
    )
    assert markdown(table) == (
        "| name | n | x | y |\n| --- | --- | --- | --- |\n| a | 12345 | 0.1235 | 2.5 "
        "|\n| b | 2 | nan | 1.235e+05 |\n"
    )
    assert markdown(pd.DataFrame({"a": [], 3: []})) == "| a | 3 |\n| --- | --- |\n"


# -- samplers


class Echo:
    """A model that returns the random bits of the keys it is given."""

    name = "echo"

    def reconstruct(self, variables, degraded, keys):
        return jax.vmap(lambda key: jax.random.bits(key))(keys)


def test_seeds_change_the_sampling_noise_of_every_example_and_nothing_else():
    keys = jax.random.split(jax.random.key(0), 3)
    first, again, other = (
        samplers.Reseeded(Echo(), seed).reconstruct({}, None, keys) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not set(np.asarray(first).tolist()) & set(np.asarray(other).tolist())
    assert len(set(np.asarray(first).tolist())) == 3
    expected = [jax.random.bits(jax.random.fold_in(key, 2)) for key in keys]
    np.testing.assert_array_equal(other, jnp.stack(expected))
    assert samplers.Reseeded(Echo(), 1).name == "echo"


def test_outcomes_hold_every_task_and_the_largest_change_of_any_gap():
    performance = pd.DataFrame(
        [
            ("grade", "", "auroc", "reconstructed", 0.8),
            ("grade", "", "sensitivity", "reconstructed", 0.3),
            ("tumor", "", "dice", "reconstructed", 0.6),
            ("tumor", "", "dice", "change", -0.2),
        ],
        columns=["task", "attribute", "metric", "version", "value"],
    )
    rows = [("delta_dice", "change", "worst_case", v) for v in (0.01, None, -0.04)]
    rows += [
        ("eodd", "change", "worst_case", 0.03),
        ("ser", "change", "worst_case", 9.0),
        ("eop", "change", "worst_case", -8.0),
    ]
    fairness = pd.DataFrame(rows, columns=["metric", "version", "convention", "value"])
    assert samplers.outcomes(performance, fairness) == {
        "grade auroc": 0.8,
        "tumor dice": 0.6,
        "largest_gap_change": -0.04,
    }
    unknown = fairness.assign(value=None)
    assert np.isnan(samplers.outcomes(performance[:0], unknown)["largest_gap_change"])


def test_a_comparison_repeats_the_first_preset_and_writes_after_every_measurement(tmp_path, capsys):
    written = []

    class Bench:
        def measure(self, preset, count, seed=0):
            path = tmp_path / "table.csv"
            written.append(len(pd.read_csv(path)) if path.exists() else 0)
            psnr = 30.0 + seed + (preset == "b") + count / 10
            return {
                "preset": preset,
                "samples": count,
                "seed": seed,
                "evaluations": 10 * count,
                "psnr": psnr,
            }

    table = samplers.compare(Bench(), iter(["a", "b"]), map(int, ["1", "8"]), 3, tmp_path)
    asked = table[["preset", "samples", "seed"]].to_numpy().tolist()
    assert asked == [["a", 1, 0], ["a", 8, 0], ["b", 1, 0], ["b", 8, 0], ["a", 1, 1], ["a", 1, 2]]
    assert written == [0, 1, 2, 3, 4, 5]
    assert "[6/6] a, 1 samples, seed 2: 32.10 dB" in capsys.readouterr().out
    last = (tmp_path / "table.md").read_text().splitlines()[-1]
    assert last == "| spread of a over 3 seeds | 1 | 10 | 2 |"


def test_test_images_are_spread_evenly_where_they_are_limited(monkeypatch):
    model = samplers.IrsdeReconstructor(width=4, depth=1)
    fake = types.SimpleNamespace(
        study=types.SimpleNamespace(
            seed=0, reconstructors={"irsde": types.SimpleNamespace(model=model)}
        ),
        tandem=lambda _: [types.SimpleNamespace(diagnosers=())],
    )
    fake.evaluated_rows = lambda: np.arange(0, 40, 2)
    fake.rows = lambda part: np.arange(20, 41) if part == "test" else np.arange(20)
    inputs = TandemInputs({}, {}, (), None)
    monkeypatch.setattr(samplers, "tandem_inputs", lambda context, cell: inputs)
    monkeypatch.setattr(
        samplers.Bench,
        "_rows",
        lambda self, model, inputs, rows: (pd.DataFrame({"row": rows}), 0.0),
    )
    bench = samplers.Bench(fake, "irsde", 8.0, limit=5)
    assert bench.test.tolist() == [20, 24, 28, 34, 38], (
        "evaluated test rows, the first and the last among them"
    )
    assert (bench.validation["row"].tolist(), set(bench.validation["split"])) == (
        list(range(0, 20, 2)),
        {"val"},
    )
    for limit in (0, 10, 99):
        assert samplers.Bench(fake, "irsde", 8.0, limit).test.tolist() == list(range(20, 40, 2))


# -- planted and mitigated studies


def asked_for(monkeypatch, module, *words) -> tuple:
    """What a script's command line hands to the runner of all seeds."""
    calls = []
    monkeypatch.setattr(module, "over_seeds", lambda *given: calls.append(given) or pd.DataFrame())
    monkeypatch.setattr(module, "quiet", lambda _: None)
    module.main(words)
    return calls[0]


def test_the_mitigation_command_tries_everything_on_the_first_seeds_only(monkeypatch, tmp_path):
    words = (
        f"--out={tmp_path}",
        "--seeds=4",
        "--other-seeds=2",
        "--sde-seeds=1",
        "--steps=7",
        "--patients=90",
        "--weights=0.5,2",
        "--tiny",
    )
    out, name, seeds, configuration, _, summary = asked_for(monkeypatch, mitigation, *words)
    assert (out, name, seeds, summary) == (tmp_path, "mitigation", 4, mitigation.summary)
    first, second, third = (configuration(seed) for seed in range(3))
    assert ["irsde" in c.reconstructors for c in (first, second, third)] == [True, False, False]
    assert [len(c.mitigations) for c in (first, second, third)] == [7, 7, 1]
    assert (third.mitigations.eodd.weights, first.mitigations.adversarial.weight) == (
        (0.5, 2.0),
        2.0,
    )
    assert [c.seed for c in (first, second, third)] == [0, 1, 2]
    assert first.phantom.patients == 60, "a smoke run is small whatever is asked"


def test_without_tiny_steps_and_patients_are_as_asked():
    config = mitigation.configuration(0, False, 7, 90, (0.5,), tiny=False)
    assert (
        config.phantom.patients,
        config.mitigations.eodd.train.steps,
        config.mitigations.eodd.weight,
    ) == (90, 7, 0.5)
    assert "weights" not in config.mitigations.eodd
    assert config.is_locked


def test_the_planted_command_shuffles_the_first_seed_only(monkeypatch, tmp_path):
    shuffles = []
    monkeypatch.setattr(
        planted, "seed_rows", lambda workdir, config, seed, count: shuffles.append((seed, count))
    )
    words = (f"--out={tmp_path}", "--seeds=2", "--shuffles=5", "--patients=70")
    out, name, seeds, configuration, rows_of, summary = asked_for(monkeypatch, planted, *words)
    assert (out, name, seeds, summary) == (tmp_path, "planted", 2, planted.summary)
    for seed in range(2):
        rows_of(tmp_path, configuration(seed), seed)
    assert shuffles == [(0, 5), (1, 0)]
    assert configuration(1).phantom.patients == 70


def test_claims_among_shuffled_patients_are_counted_once_a_cohort_and_metric(monkeypatch, tmp_path):
    columns = [
        "metric",
        "version",
        "convention",
        "reconstructor",
        "task",
        "original",
        "reconstructed",
        "verdict",
        "gap",
        "group",
        "p_adjusted",
    ]

    def table(*verdicts):
        rows = [
            (m, "change", "worst_case", "unet", t, 0.1, 0.2, v, "same", "F", 0.5)
            for (m, t), v in zip(cells, verdicts, strict=True)
        ]
        return pd.DataFrame(rows, columns=columns).assign(n_patients=40.0)

    cells = [("eodd", "a"), ("eodd", "b"), ("eop", "a"), ("eop", "b")]
    none = "no difference shown"
    draws = [
        table("harmed", "favoured", none, none),
        table(none, "harmed", none, "favoured"),
        table(*[none] * 4),
    ]
    monkeypatch.setattr(
        planted, "read_results", lambda workdir, name: table("harmed", none, "harmed", none)
    )
    predictions = pd.DataFrame({"reconstructor": ["unet", "identity", "unet"]})
    monkeypatch.setattr(planted, "read_predictions", lambda path: (predictions, None))
    monkeypatch.setattr(planted, "parse", lambda config: types.SimpleNamespace(assess=None))
    seen = []
    monkeypatch.setattr(
        planted, "shuffled", lambda table, spec, draw: seen.append((len(table), draw)) or draw
    )
    monkeypatch.setattr(planted, "assess", lambda draw, spec, options: (None, draws[draw]))
    rows = planted.seed_rows(tmp_path, None, 3, 3)
    assert seen == [(2, 0), (2, 1), (2, 2)], "only the reconstructions that are judged"
    assert rows["shuffles_with_a_claim"].tolist() == [2, 2, 1, 1]
    assert (set(rows["seed"]), set(rows["shuffles"])) == ({3}, {3})
    assert rows["verdict"].tolist() == ["harmed", none, "harmed", none]


def recorded(context: Context, seconds: dict[tuple[str, float | None], float]) -> None:
    """Writes the records of fine-tunings that took so long, by mitigation and weight."""
    context.workdir.stages.mkdir(parents=True)
    for stage in plan(context):
        cell = stage.cell
        if stage.verb == "mitigate" and (cell.mitigation, cell.weight) in seconds:
            took = seconds[cell.mitigation, cell.weight]
            stage.record(context.workdir.stages).write_text(json.dumps({"seconds": took}))


def test_run_times_are_those_of_all_trainings_of_one_mitigation(tmp_path):
    config = mitigation.configuration(0, True, 7, 90, (0.1, 1.0), tiny=True)
    context = Context(config, tmp_path)
    times = {("eodd", 0.1): 3.0, ("eodd", 1.0): 4.5, ("group_dro", None): 9.0}
    recorded(context, times | {("eodd_x1000", None): 40.0, ("adversarial", None): 1.0})
    assert mitigation._seconds(context, "eodd", "unet") == 7.5
    assert mitigation._seconds(context, "eodd_x1000", "pix2pix") == 40.0
    assert mitigation._seconds(context, "eodd_x1000", "unet") == 0.0


def test_what_a_seed_found_is_read_again_only_under_the_same_configuration(tmp_path):
    config = mitigation.configuration(0, False, 7, 90, (0.5,), tiny=True)
    (tmp_path / "outcome.csv").write_text("mitigation,verdict\nnone,helped\n")
    (tmp_path / "outcome.digest").write_text(digest(parse(config)))
    assert mitigation.seed_rows(tmp_path, config, 1).to_dict("records") == [
        {"mitigation": "none", "verdict": "helped"}
    ]
    other = mitigation.configuration(1, False, 7, 90, (0.5,), tiny=True)
    with pytest.raises(FileNotFoundError, match=r"mitigation\.csv"):
        mitigation.seed_rows(tmp_path, other, 1)


def test_only_headline_changes_enter_the_mitigations_table():
    rows = [(m, v) for m in ("eodd", "eop", "ser", "psnr") for v in ("original", "change")]
    actual = mitigation._gaps(pd.DataFrame(rows, columns=["metric", "version"]))
    assert actual.to_numpy().tolist() == [["eodd", "change"], ["ser", "change"]]


# -- quickstart


@pytest.mark.parametrize(("study", "task"), [("xray", "consolidation"), ("brain", "tumor")])
@pytest.mark.parametrize(("verdict", "group"), [("harmed", "female"), ("no difference shown", "")])
def test_the_quickstart_says_what_was_planted_and_whether_it_was_found(
    monkeypatch, tmp_path, capsys, study, task, verdict, group
):
    config = importlib.import_module(f"configs.quickstart_{study}").get_config()
    metric = quickstart.PLANTED[study][1]
    assert quickstart.planted(config) == ("sex", "Female")
    row = {
        "task": task,
        "attribute": "sex",
        "metric": metric,
        "reconstructor": "unet",
        "mitigation": "none",
        "version": "change",
        "verdict": verdict,
        "group": group,
        "reason": "female lost 40 points more",
    }
    rows = pd.DataFrame([{**row, "reconstructor": "identity", "verdict": "harmed"}, row])
    monkeypatch.setattr(quickstart, "run", lambda config, workdir: workdir / "index.html")
    monkeypatch.setattr(quickstart, "read_results", lambda workdir, name: rows)
    monkeypatch.setattr(quickstart, "quiet", lambda _: None)
    named = verdict == "harmed"
    assert quickstart.main([f"--study={study}", f"--workdir={tmp_path}"]) == named
    out = capsys.readouterr().out.splitlines()
    assert out[-3].startswith(f"planted: sex Female loses {task}")
    assert out[-2].startswith(f"found:   {verdict}")
    assert out[-1] == f"the planted harm was {'found' if named else 'NOT found'}"
