"""The comparison of samplers: on a tiny study with untrained weights, and its tables by hand."""

from __future__ import annotations

import importlib

import jax
import pandas as pd
import pytest
from ml_collections import ConfigDict

from experiments import samplers
from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.study.cohort import draw_phantom, prepare_cohort
from fairrecon_jax.study.context import Context
from fairrecon_jax.training.checkpoints import save_variables
from fairrecon_jax.types import Cell


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    """Phantom brains with fresh networks as if they had been trained."""
    config = importlib.import_module("configs.phantom_brain").get_config()
    config.cohort.update(image_size=32, evaluate_slices=(2, 5))
    config.phantom = ConfigDict({"kind": "brain", "patients": 12, "size": 32, "slices": 8})
    config.reconstructors.irsde.update(width=4, depth=1, precondition=(0.1, 0.1))
    config.diagnosers = ConfigDict({"tumor": config.diagnosers.tumor})
    config.diagnosers.tumor.update(width=4, depth=1)
    config.assess.update(replicates=20, permutations=19, null_draws=10)
    config.tandem.batch_size = 8
    context = Context(config.lock(), tmp_path_factory.mktemp("samplers"))
    draw_phantom(context)
    prepare_cohort(context)
    batch = read_rows(context.cohort, context.rows("train")[:1])
    study, workdir = context.study, context.workdir
    reader = study.diagnosers["tumor"].model.init(jax.random.key(0), batch)
    save_variables(workdir.diagnoser("tumor") / "final", reader, {})
    model = study.reconstructors["irsde"].model.init(jax.random.key(1), batch)
    save_variables(workdir.model(Cell("irsde", 8.0)) / "final", model, {})
    return context


@pytest.mark.slow
def test_presets_samples_and_seeds_make_one_row_each(context):
    bench = samplers.Bench(context, "irsde", 8.0, limit=8)
    table = samplers.compare(bench, ["ode2_5"], [1, 4], 2, context.workdir.root / "samplers")
    assert table[["preset", "samples", "seed", "evaluations"]].to_numpy().tolist() == [
        ["ode2_5", 1, 0, 5],
        ["ode2_5", 4, 0, 20],
        ["ode2_5", 1, 1, 5],
    ]
    assert (
        table["psnr"][1] > table["psnr"][0] + 0.2
    )  # an untrained sample is the degraded image and noise, which the mean reduces
    assert table["psnr"][2] != table["psnr"][0]
    assert table["tumor dice"].notna().all()
    assert (table["seconds_per_image"] > 0).all()
    assert len(pd.read_csv(context.workdir.root / "samplers" / "table.csv")) == 3
    assert (
        "spread of ode2_5 over 2 seeds"
        in (context.workdir.root / "samplers" / "table.md").read_text()
    )
    with pytest.raises(ValueError, match="is no diffusion model"):
        samplers.Bench(context, "unet", 8.0)


def test_outcomes_are_read_from_the_tables():
    performance = pd.DataFrame(
        [
            ("flu", "", "auroc", "reconstructed", 0.7),
            ("flu", "sex", "auroc", "reconstructed", 0.1),
            ("flu", "", "auroc", "original", 0.9),
        ],
        columns=["task", "attribute", "metric", "version", "value"],
    )
    fairness = pd.DataFrame(
        [
            ("eodd", "change", "worst_case", 0.02),
            ("eodd", "change", "worst_case", -0.05),
            ("eodd", "original", "worst_case", 0.3),
            ("eodd", "change", "mean", 1.0),
        ],
        columns=["metric", "version", "convention", "value"],
    )
    assert samplers.outcomes(performance, fairness) == {
        "flu auroc": 0.7,
        "largest_gap_change": -0.05,
    }
    nothing = samplers.outcomes(performance, fairness[:0])
    assert nothing["largest_gap_change"] != nothing["largest_gap_change"]


def test_the_summary_keeps_one_seed_and_adds_the_spread():
    rows = [
        ("paper", 1, 0, 100, 30.0),
        ("ode2_10", 1, 0, 10, 29.0),
        ("paper", 1, 1, 100, 30.5),
        ("paper", 1, 2, 100, 29.8),
    ]
    table = samplers.summary(
        pd.DataFrame(rows, columns=["preset", "samples", "seed", "evaluations", "psnr"])
    )
    assert table["preset"].tolist() == ["paper", "ode2_10", "spread of paper over 3 seeds"]
    assert table["psnr"].tolist() == pytest.approx([30.0, 29.0, 0.7])
    assert samplers.markdown(table).splitlines()[2] == "| paper | 1 | 100 | 30 |"
    assert len(samplers.summary(table.iloc[:2].assign(seed=0))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--presets=quick"], "no presets quick; there are paper"),
        (["--samples=1,0"], "samples must be whole numbers of at least 1, got 1, 0"),
        ([], "give a configuration"),
    ],
)
def test_refusals_are_one_line(words, message, tmp_path, capsys):
    config = ["--config=configs/phantom_brain.py"] if words else []
    assert samplers.main([*config, f"--workdir={tmp_path}", *words]) == 2
    assert message in capsys.readouterr().err
