"""Does the assessment name the group that was harmed? `python -m experiments.planted --out=DIR
[--seeds=5] [--shuffles=20] [--tiny]`.

Per seed a phantom X-ray cohort is drawn in which the lesions of women are a little fainter: plainly
visible on the original images, lost more often at low dose. A U-Net reconstructs them, a frozen
classifier diagnoses both versions, and the test compares how the groups changed. The predictions of
the first seed are assessed again with the attributes permuted over patients, where every claim is
false. Each seed is a study of its own in `DIR/seed<N>`, so a killed run continues. Writes
`planted.csv`, `planted.md` and `planted_rows.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from absl import logging
from ml_collections import ConfigDict

from configs.phantom_xray import get_config
from experiments.mitigation import CONTRAST, shrink, shuffled
from experiments.seeds import over_seeds
from fairrecon_jax.assessment import assess, read_predictions, read_results
from fairrecon_jax.runtime.progress import quiet
from fairrecon_jax.study.parse import parse

HARMED = "Female"
RECONSTRUCTOR = "unet"
METRICS = ("eodd", "eop")
CLAIMS = ("harmed", "favoured")


def configuration(seed: int, patients: int, tiny: bool) -> ConfigDict:
    """The study of one seed.

    Args:
      seed: of phantom, splits, trainings, noise and assessment.
      patients: of the phantom; four in ten are test patients.
      tiny: a smoke run of seconds whose numbers mean nothing.
    """
    c = get_config()
    c.seed = c.phantom.seed = c.splits.seed = c.assess.seed = seed
    c.phantom.update(patients=patients, contrast_mean=CONTRAST)
    c.cohort.attributes = ("sex",)
    c.report.examples = 0
    c.reconstructors = ConfigDict(
        {name: c.reconstructors[name] for name in ("identity", RECONSTRUCTOR)}
    )
    c.mitigations = ConfigDict()
    for block in (c.reconstructors[RECONSTRUCTOR], *c.diagnosers.values()):
        block.train.seed = seed
    if tiny:
        shrink(c)
    return c.lock()


def judged(fairness: pd.DataFrame) -> pd.DataFrame:
    """The change rows of the reconstruction's equalised odds and equal opportunity, one per metric
    and task.
    """
    rows = fairness[
        fairness["metric"].isin(METRICS)
        & (fairness["version"] == "change")
        & (fairness["convention"] == "worst_case")
    ]
    return rows[rows["reconstructor"] == RECONSTRUCTOR]


def seed_rows(workdir: Path, config: ConfigDict, seed: int, shuffles: int) -> pd.DataFrame:
    """The results of one finished study, one row per metric and task, and the number of permuted
    cohorts in which the metric gives a claim.
    """
    columns = [
        "metric",
        "task",
        "original",
        "reconstructed",
        "verdict",
        "gap",
        "group",
        "p_adjusted",
        "n_patients",
    ]
    rows = judged(read_results(workdir, "fairness"))[columns]
    table, spec = read_predictions(workdir / "predictions.parquet")
    options = parse(config).assess
    table = table[table["reconstructor"] == RECONSTRUCTOR]
    false = dict.fromkeys(METRICS, 0)
    for draw in range(shuffles):
        changes = judged(assess(shuffled(table, spec, draw), spec, options)[1])
        for metric in changes[changes["verdict"].isin(CLAIMS)]["metric"].unique():
            false[metric] += 1
    return rows.assign(
        seed=seed, shuffles=shuffles, shuffles_with_a_claim=rows["metric"].map(false)
    )


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per seed: largest gaps over tasks, groups harmed where lesions are missed (equal
    opportunity), what became of their gaps, claims in permuted cohorts.
    """
    lines = []
    for seed, part in rows.groupby("seed", sort=True):
        odds, opportunity = (part[part["metric"] == metric] for metric in METRICS)
        claimed = opportunity[opportunity["verdict"].isin(CLAIMS)]
        # of two groups one may be harmed or the other favoured: only the harmed one is named
        harmed = claimed[claimed["verdict"] == "harmed"]
        line = {
            "seed": seed,
            "test_patients": int(part["n_patients"].max()),
            "largest_eodd_on_originals": odds["original"].max(),
        }
        line |= {
            "largest_eodd_reconstructed": odds["reconstructed"].max(),
            "largest_eop_reconstructed": opportunity["reconstructed"].max(),
        }
        line |= {
            "tasks": len(opportunity),
            "claims": len(claimed),
            "named": ", ".join(sorted(set(harmed["group"]))) or "nobody",
            "favoured": int((claimed["verdict"] == "favoured").sum()),
            "widened": int((claimed["gap"] == "widened").sum()),
        }
        line["smallest_adjusted_p"] = opportunity["p_adjusted"].min()
        line["shuffles"] = int(part["shuffles"].iloc[0])
        for metric, rows_of in zip(METRICS, (odds, opportunity), strict=True):
            line[f"of_them_with_a_claim_{metric}"] = int(rows_of["shuffles_with_a_claim"].max())
        lines.append(line)
    return pd.DataFrame(lines)


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Runs all seeds and writes the table.

    Args:
      arguments: command line without the program's name; the process's own if None.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.planted", description=__doc__)
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the studies and the table"
    )
    parser.add_argument("--seeds", type=int, default=5, help="phantom cohorts")
    parser.add_argument(
        "--shuffles",
        type=int,
        default=20,
        help="cohorts with permuted attributes, of the first seed",
    )
    parser.add_argument("--patients", type=int, default=2600, help="of each phantom")
    parser.add_argument("--tiny", action="store_true", help="a smoke run; its numbers mean nothing")
    chosen = parser.parse_args(arguments)
    quiet(logging.ERROR)
    return over_seeds(
        chosen.out,
        "planted",
        chosen.seeds,
        lambda seed: configuration(seed, chosen.patients, chosen.tiny),
        lambda workdir, config, seed: seed_rows(
            workdir, config, seed, 0 if seed else chosen.shuffles
        ),
        summary,
    )


if __name__ == "__main__":
    main()
