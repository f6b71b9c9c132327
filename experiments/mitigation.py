"""Do the mitigations help the group that a planted gap harms? `python -m experiments.mitigation
--out=DIR [--seeds=5] [--other-seeds=2] [--sde-seeds=1] [--tiny]`.

Per seed a phantom X-ray cohort in which the lesions of women are fainter is drawn, split, diagnosed
and reconstructed. The equalised-odds term fine-tunes the U-Net, its weight, where `--weights` lists
several, chosen on validation patients. On the first `--other-seeds` all mitigations fine-tune all
reconstructors (the diffusion model, which takes most of the time, on the first `--sde-seeds`);
those with a weight fine-tune Pix2Pix once more with 1000 times as much, since its loss is 1000
times an absolute error.

Each seed is a study of its own in `DIR/seed<N>`, so a killed run continues. The same predictions
are compared once more with the attributes permuted over patients, where no gap can have been helped
or harmed. Writes `DIR/mitigation.csv` and `mitigation.md`, after every seed. With the folder and
the number of patients of `experiments.planted` its studies are continued.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from absl import logging
from ml_collections import ConfigDict

from configs.phantom_xray import get_config
from experiments.seeds import over_seeds
from fairrecon_jax.assessment import compare, read_predictions
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.inference import MITIGATIONS
from fairrecon_jax.keys import digest
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.progress import quiet
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import StageFilter
from fairrecon_jax.types import CohortSpec

KINDS = {
    "eodd": "equalised_odds",
    "reweighting": "reweighting",
    "adversarial": "adversarial",
    "group_dro": "group_dro",
}
GAPS = ("eodd", "ser")
# Of lesions: plainly visible in both sexes on the original images, so that reconstruction decides.
CONTRAST = 2.2
# This reconstructor's loss is so many times another's, and a term must weigh as much more.
SCALED, SCALE = "pix2pix", 1000
VERDICTS = tuple(MITIGATIONS)
CLAIMS = ("helped", "levelled down", "harmed", "favoured")


def configuration(
    seed: int,
    everything: bool,
    steps: int,
    patients: int,
    weights: tuple[float, ...],
    tiny: bool,
    sde: bool = True,
) -> ConfigDict:
    """The study of one seed.

    Args:
      seed: of phantom, splits, trainings, noise and assessment.
      everything: all mitigations and reconstructors instead of the equalised-odds term and the
        U-Net alone.
      steps: of each fine-tuning.
      patients: of the phantom.
      weights: of the equalised-odds term, to choose from; the other terms have the middle one.
      tiny: a smoke run of seconds whose numbers mean nothing.
      sde: the diffusion model too, where everything is tried.
    """
    c = get_config()
    c.seed = c.phantom.seed = c.splits.seed = c.assess.seed = seed
    c.phantom.update(patients=patients, contrast_mean=CONTRAST)
    c.cohort.attributes = ("sex",)
    c.report.examples = 0
    if not everything:
        c.reconstructors = ConfigDict(
            {name: c.reconstructors[name] for name in ("identity", "unet")}
        )
    elif not sde:
        del c.reconstructors["irsde"]
    for block in (*c.reconstructors.values(), *c.diagnosers.values()):
        if "train" in block:
            block.train.seed = seed
    c.mitigations = ConfigDict()
    # The other terms are not searched over.
    middle = weights[len(weights) // 2]
    for name, kind in KINDS.items() if everything else [("eodd", KINDS["eodd"])]:
        blocks: dict[str, dict] = {name: {} if kind == "reweighting" else {"weight": middle}}
        if name == "eodd" and len(weights) > 1:
            blocks[name] = {"weights": weights}
        if everything and kind != "reweighting":
            blocks[f"{name}_x{SCALE}"] = {"weight": SCALE * middle, "reconstructors": (SCALED,)}
        for title, fields in blocks.items():
            c.mitigations[title] = mitigation(kind, steps, 32, 3e-4, attributes=("sex",), **fields)
            c.mitigations[title].train.seed = seed
    if tiny:
        shrink(c)
    return c.lock()


def shrink(c: ConfigDict) -> None:
    """Makes a study small enough for a smoke run."""
    c.phantom.update(patients=60, size=32, workers=1)
    c.cohort.image_size = 32
    c.assess.update(replicates=20, permutations=19, null_draws=10)
    for block in (*c.reconstructors.values(), *c.diagnosers.values(), *c.mitigations.values()):
        if "train" in block:
            block.train.update(
                steps=2, warmup_steps=0, batch_size=8, eval_every=2, eval_batch_size=8
            )


def shuffled(table: pd.DataFrame, spec: CohortSpec, seed: int) -> pd.DataFrame:
    """The predictions with the attributes of whole patients permuted within validation and test."""
    generator, names = np.random.default_rng(seed), [a.name for a in spec.attributes]
    parts = []
    for _, part in table.groupby("split", sort=True):
        people = (
            part.drop_duplicates("patient_id")
            .sort_values("patient_id")
            .set_index("patient_id")[names]
        )
        permuted = pd.DataFrame(
            people.to_numpy()[generator.permutation(len(people))], index=people.index, columns=names
        )
        parts.append(part.drop(columns=names).join(permuted, on="patient_id"))
    return pd.concat(parts, ignore_index=True)


def seed_rows(workdir: Path, config: ConfigDict, seed: int) -> pd.DataFrame:
    """The results of one finished study: one row per mitigation, reconstructor, task and attribute;
    kept in `outcome.csv`.
    """
    kept, stamped = workdir / "outcome.csv", workdir / "outcome.digest"
    context = Context(config, workdir)
    stamp = digest(context.study)
    if kept.exists() and stamped.exists() and stamped.read_text(encoding="utf-8") == stamp:
        return pd.read_csv(kept, keep_default_na=False, na_values=[""])
    comparisons = pd.read_csv(
        workdir / "results" / "mitigation.csv",
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
    )
    table, spec = read_predictions(workdir / "predictions.parquet")
    null = compare(shuffled(table, spec, seed), spec, context.study.assess)
    keys = ["mitigation", "reconstructor", "level", "task", "attribute"]
    rows = _gaps(comparisons)[[*keys, "original", "reconstructed", "verdict"]]
    rows = rows.merge(_gaps(null)[[*keys, "verdict"]], on=keys, suffixes=("", "_null"))
    for metric in ("psnr", "auroc", "dice"):
        price = comparisons[
            (comparisons["metric"] == metric)
            & (comparisons["version"] == "change")
            & comparisons["attribute"].isna()
        ]
        on = keys[:3] if metric == "psnr" else keys[:4]
        rows = rows.merge(
            price[[*on, "change"]].rename(columns={"change": f"{metric}_change"}), on=on, how="left"
        )
    rows = rows.assign(
        seed=seed,
        seconds=[_seconds(context, r.mitigation, r.reconstructor) for r in rows.itertuples()],
    )
    write_atomic(kept, rows.to_csv(index=False))
    write_atomic(stamped, stamp)
    return rows


def _gaps(table: pd.DataFrame) -> pd.DataFrame:
    """The change rows of the headline gaps."""
    return table[table["metric"].isin(GAPS) & (table["version"] == "change")]


def _seconds(context: Context, mitigation_name: str, reconstructor: str) -> float:
    """How long the fine-tunings of one mitigation took."""
    tuned = StageFilter(("mitigate",), True, model=reconstructor, mitigation=mitigation_name)
    records = [stage.recorded(context.workdir.stages) for stage in plan(context) if tuned(stage)]
    return float(sum(record["seconds"] for record in records))


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per mitigation and reconstructor: gaps before and after, verdicts, false alarms
    under permuted attributes, price, run time.
    """
    lines = []
    for (name, reconstructor), part in rows.groupby(["mitigation", "reconstructor"], sort=True):
        line = {
            "mitigation": name,
            "reconstructor": reconstructor,
            "seeds": part["seed"].nunique(),
            "cells": len(part),
        }
        # Of the seeds that have a gap at all.
        widest = part.loc[part.dropna(subset="original").groupby("seed")["original"].idxmax()]
        line |= {
            "widest_gap_before": widest["original"].mean(),
            "after": widest["reconstructed"].mean(),
        }
        line["seeds_with_widest_gap_helped"] = int((widest["verdict"] == "helped").sum())
        line |= {
            "mean_gap_before": part["original"].mean(),
            "mean_gap_after": part["reconstructed"].mean(),
        }
        line |= {
            verdict.replace(" ", "_"): int((part["verdict"] == verdict).sum())
            for verdict in VERDICTS
        }
        line["shuffled_with_a_claim"] = int(part["verdict_null"].isin(CLAIMS).sum())
        line |= {
            f"{m}_change": part[f"{m}_change"].mean()
            for m in ("psnr", "auroc", "dice")
            if part[f"{m}_change"].notna().any()
        }
        line["seconds"] = part.drop_duplicates("seed")["seconds"].mean()
        lines.append(line)
    return pd.DataFrame(lines)


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Runs all seeds and writes the table.

    Args:
      arguments: command line without the program's name; the process's own if None.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.mitigation", description=__doc__)
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the studies and the table"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="phantom cohorts for the equalised-odds term"
    )
    parser.add_argument(
        "--other-seeds", type=int, default=2, help="of these, cohorts for the other mitigations too"
    )
    parser.add_argument(
        "--sde-seeds", type=int, default=1, help="of these, cohorts for the diffusion model too"
    )
    parser.add_argument("--steps", type=int, default=300, help="of each fine-tuning")
    parser.add_argument("--patients", type=int, default=1500, help="of each phantom")
    parser.add_argument(
        "--weights",
        default="0.01,0.1,1",
        help="of the equalised-odds term, to choose from; the others have the middle one",
    )
    parser.add_argument("--tiny", action="store_true", help="a smoke run; its numbers mean nothing")
    chosen = parser.parse_args(arguments)
    quiet(logging.ERROR)
    weights = tuple(float(text) for text in chosen.weights.split(","))

    def configured(seed: int) -> ConfigDict:
        everything, sde = seed < chosen.other_seeds, seed < chosen.sde_seeds
        return configuration(
            seed, everything, chosen.steps, chosen.patients, weights, chosen.tiny, sde
        )

    return over_seeds(chosen.out, "mitigation", chosen.seeds, configured, seed_rows, summary)


if __name__ == "__main__":
    main()
