"""Samplers of one trained diffusion model compared on the test patients, through the fused step and
the assessment.

    python -m experiments.samplers --workdir=DIR --config=FILE [--config.field=value ...]

The work directory must hold the trained reconstructor (--model) and diagnosers. Validation patients
give the decision threshold by their originals alone, so that only test patients are sampled. Writes
<workdir>/samplers/table.csv and table.md.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from absl import flags, logging
from ml_collections import config_flags

from experiments.tables import markdown
from fairrecon_jax.assessment import assess
from fairrecon_jax.cli.command import config_of, workdir_of
from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.diffusion import PRESETS
from fairrecon_jax.reconstructors import Identity, IrsdeReconstructor
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.devices import pad_batch
from fairrecon_jax.runtime.progress import quiet
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.predict import predict, tandem_inputs
from fairrecon_jax.tandem import Tandem, TandemInputs, compile_step
from fairrecon_jax.types import Array, Cell, InputError, Key, Variables

GAPS = ("eodd", "delta_dice")
LEAD = "paper"


@dataclasses.dataclass(frozen=True)
class Reseeded:
    """A reconstructor with other sampling noise per seed, under the same measurement noise.

    Attributes:
      model: the reconstructor.
      seed: of the sampling noise.
    """

    model: IrsdeReconstructor
    seed: int

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """See `IrsdeReconstructor.reconstruct`."""
        return self.model.reconstruct(
            variables, degraded, jax.vmap(lambda key: jax.random.fold_in(key, self.seed))(keys)
        )


class Bench:
    """One trained model at one level of a study, and the rows it is compared on.

    Args:
      context: the study.
      model: name of the trained diffusion reconstructor.
      level: of the degradation.
      limit: at most so many test images, evenly spread over all of them, 0 = all.

    Raises:
      InputError: there is no such reconstructor, or it is none of diffusion.
    """

    def __init__(self, context: Context, model: str, level: float, limit: int = 0) -> None:
        named = context.study.reconstructors
        if model not in named:
            raise InputError(f"config.reconstructors has no {model!r}; it has {', '.join(named)}")
        self.context, self.level, self.model = context, level, named[model].model
        if not isinstance(self.model, IrsdeReconstructor):
            raise InputError(
                f"config.reconstructors.{model} is no diffusion model: samplers are "
                "compared on kind 'irsde'"
            )
        self.inputs = tandem_inputs(context, Cell(model, level, seed=context.study.seed))
        rows = context.evaluated_rows()
        test = np.intersect1d(rows, context.rows("test"))
        self.test = (
            test[np.linspace(0, len(test) - 1, limit).round().astype(int)]
            if 0 < limit < len(test)
            else test
        )
        self.diagnosers = context.tandem(model)[0].diagnosers
        validation = np.intersect1d(rows, context.rows("val"))
        # Thresholds come from originals alone: no validation image is sampled.
        plain = self.inputs._replace(reconstructor={})
        self.validation = self._rows(Identity(), plain, validation)[0].assign(split="val")

    def measure(self, preset: str, samples: int, seed: int = 0) -> dict[str, Any]:
        """One row of the table: a preset, the mean of so many samples, one seed of the sampling
        noise.
        """
        model = dataclasses.replace(self.model, sampler=PRESETS[preset], samples=samples)
        test, seconds = self._rows(Reseeded(model, seed), self.inputs, self.test)
        columns = {
            "cohort": self.context.spec.name,
            "level": self.level,
            "reconstructor": preset,
            "mitigation": "none",
            "seed": 0,
        }
        table = pd.concat([test.assign(split="test"), self.validation], ignore_index=True).assign(
            **columns
        )
        performance, fairness = assess(table, self.context.spec, self.context.study.assess)
        row = {
            "preset": preset,
            "samples": samples,
            "seed": seed,
            "evaluations": PRESETS[preset].steps * samples,
        }
        return {
            **row,
            "seconds_per_image": seconds,
            "psnr": test["psnr"].mean(),
            "ssim": test["ssim"].mean(),
            **outcomes(performance, fairness),
        }

    def _rows(
        self, model: Any, inputs: TandemInputs, rows: np.ndarray
    ) -> tuple[pd.DataFrame, float]:
        """Predictions of some rows, and seconds per image without compiling."""
        context, size = self.context, self.context.study.tandem.batch_size
        physics = context.study.degradation.physics
        tandem = Tandem(physics, model, self.diagnosers, context.spec)
        step = compile_step(tandem)
        # Compiles, outside the clock.
        jax.block_until_ready(step(inputs, pad_batch(read_rows(context.cohort, rows[:1]), size)))
        started = time.perf_counter()
        table = predict(
            step,
            inputs,
            context.cohort,
            rows,
            size,
            label=f"{model.name} {getattr(model, 'seed', '')}",
        )
        return table, (time.perf_counter() - started) / len(rows)


def outcomes(performance: pd.DataFrame, fairness: pd.DataFrame) -> dict[str, float]:
    """AUROC or Dice of everyone's reconstructions per task, and the largest change of any group gap
    (EODD, Delta-Dice), signed.

    Args:
      performance: table of `assess`.
      fairness: table of `assess`.

    Returns:
      {"<task> <metric>": value, "largest_gap_change": value}; NaN where nothing could be estimated.
    """
    everyone = performance[
        (performance["attribute"] == "") & (performance["version"] == "reconstructed")
    ]
    everyone = everyone[everyone["metric"].isin(["auroc", "dice"])]
    scores = {f"{row.task} {row.metric}": float(row.value) for row in everyone.itertuples()}
    change = fairness[
        fairness["metric"].isin(GAPS)
        & (fairness["version"] == "change")
        & (fairness["convention"] == "worst_case")
    ]["value"]
    change = change.astype(float).dropna()
    return {
        **scores,
        "largest_gap_change": float(change.loc[change.abs().idxmax()])
        if len(change)
        else float("nan"),
    }


def compare(
    bench: Bench, presets: Iterable[str], samples: Iterable[int], seeds: int, folder: Path
) -> pd.DataFrame:
    """Every preset with every number of samples; the first preset with one sample under several
    seeds of the sampling noise.

    Args:
      bench: the model and its rows.
      presets: names of `diffusion.PRESETS`.
      samples: numbers of samples that are averaged.
      seeds: number of seeds of the first preset.
      folder: where all measurements are written as table.csv and their summary as table.md, after
        every one.

    Returns:
      One row per measurement.
    """
    presets, samples = list(presets), list(samples)
    runs = [(preset, count, 0) for preset in presets for count in samples] + [
        (presets[0], samples[0], s) for s in range(1, seeds)
    ]
    rows = []
    for number, (preset, count, seed) in enumerate(runs, 1):
        rows.append(bench.measure(preset, count, seed))
        print(
            f"[{number}/{len(runs)}] {preset}, {count} samples, seed {seed}: "
            f"{rows[-1]['psnr']:.2f} dB",
            flush=True,
        )
        write_atomic(folder / "table.csv", pd.DataFrame(rows).to_csv(index=False))
        write_atomic(folder / "table.md", markdown(summary(pd.DataFrame(rows))))
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row per preset and number of samples, and one with the largest minus the smallest value
    over the seeds of the repeated one.
    """
    keys = ["preset", "samples", "evaluations"]
    values = [column for column in table.columns if column not in (*keys, "seed")]
    rows = table[table["seed"] == 0][[*keys, *values]]
    repeated = table.groupby(["preset", "samples"]).filter(lambda part: len(part) > 1)
    if repeated.empty:
        return rows.reset_index(drop=True)
    first, spread = repeated.iloc[0], repeated[values].max() - repeated[values].min()
    label = f"spread of {first['preset']} over {len(repeated)} seeds"
    last = pd.DataFrame(
        [
            {
                "preset": label,
                "samples": first["samples"],
                "evaluations": first["evaluations"],
                **spread,
            }
        ]
    )
    return pd.concat([rows, last], ignore_index=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line, runs the comparison and writes it.

    Args:
      argv: command line without the program's name; that of the process if None.

    Returns:
      0, or 2 with one line on stderr where something is refused.
    """
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "configuration of the study", flag_values=values
    )
    flags.DEFINE_string("workdir", "", "work directory of the study", flag_values=values)
    flags.DEFINE_string("model", "irsde", "name in config.reconstructors", flag_values=values)
    flags.DEFINE_float("level", None, "level; the headline level if not given", flag_values=values)
    flags.DEFINE_list(
        "presets",
        [LEAD, *(name for name in PRESETS if name != LEAD)],
        "the first one is repeated",
        flag_values=values,
    )
    flags.DEFINE_list("samples", ["1", "8"], "samples that are averaged", flag_values=values)
    flags.DEFINE_integer("seeds", 3, "seeds of the first preset", lower_bound=1, flag_values=values)
    flags.DEFINE_integer(
        "limit",
        0,
        "test images, evenly spread over all of them; 0 = all",
        lower_bound=0,
        flag_values=values,
    )
    saved, sys.argv = sys.argv, ["samplers", *(sys.argv[1:] if argv is None else argv)]
    try:
        values(sys.argv)
        quiet(logging.ERROR)
        context = Context(config_of(values), workdir_of(values))
        unknown = [name for name in values.presets if name not in PRESETS]
        if unknown:
            raise InputError(f"no presets {', '.join(unknown)}; there are {', '.join(PRESETS)}")
        samples = list(map(int, values.samples))
        if min(samples, default=0) < 1:
            raise InputError(
                f"samples must be whole numbers of at least 1, got {', '.join(values.samples)}"
            )
        level = values.level
        if level is None:
            level = context.study.degradation.headline_level
        bench = Bench(context, values.model, level, values.limit)
        folder = context.workdir.root / "samplers"
        table = compare(bench, values.presets, samples, values.seeds, folder)
        print(f"{markdown(summary(table))}\nwrote {folder / 'table.csv'} and {folder / 'table.md'}")
    except (InputError, FileNotFoundError, flags.Error) as error:
        print(f"samplers: {error}", file=sys.stderr)
        return 2
    finally:
        sys.argv = saved
    return 0


if __name__ == "__main__":
    sys.exit(main())
