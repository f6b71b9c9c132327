"""The commands of the console script, each a few lines around the function that does the work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import flags

from fairrecon_jax.cli.main import Command, config_of, workdir_of
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.phantoms import phantom_options, write_phantom
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.progress import say
from fairrecon_jax.study import config as settings
from fairrecon_jax.study import run as study
from fairrecon_jax.study.stages import Wanted
from fairrecon_jax.study.workdir import Workspace, level_name


def _phantom(values: Any) -> None:
    kind, options = values.kind, None
    if values.config is not None:
        config = config_of(values)
        settings.check_fields(config)
        if kind and config.phantom.kind not in ("", kind):
            raise ValueError(
                f"--kind={kind} contradicts config.phantom.kind, which is {config.phantom.kind!r}"
            )
        kind = kind or config.phantom.kind or "xray"
        options = settings.phantom_options(config, kind)
    options = options or phantom_options(kind or "xray")
    chosen = {
        name: getattr(values, name)
        for name in ("patients", "size", "seed", "workers")
        if getattr(values, name) is not None
    }
    truth = write_phantom(options.kind, Path(values.root), dataclasses.replace(options, **chosen))
    say(
        f"wrote {len(truth['patients'])} patients to {values.root}; their truth is in "
        f"{Path(values.root) / 'ground_truth.json'}"
    )


def _phantom_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "kind",
        None,
        ["xray", "brain"],
        "what to draw; config.phantom.kind, or xray, if not given",
        flag_values=values,
    )
    flags.DEFINE_string("root", "phantom", "folder to write; must not exist", flag_values=values)
    for name, text in (
        ("patients", "number of patients"),
        ("size", "pixels"),
        ("seed", "seed"),
        ("workers", "drawing processes"),
    ):
        flags.DEFINE_integer(
            name, None, f"{text}; config.phantom.{name} if not given", flag_values=values
        )


def _doctor(values: Any) -> None:
    config = config_of(values)
    settings.check_fields(config)
    workspace, splits = Workspace(config, workdir_of(values)), workdir_of(values) / "splits.json"
    report = examine(
        config.cohort.name,
        workspace.root,
        settings.cohort_config(config),
        splits_path=splits if splits.exists() else None,
    )
    say(report.text())
    if not report.ok:
        raise ValueError("the tree has errors, listed above")


def _prepare(values: Any) -> None:
    study.run(config_of(values), workdir_of(values), only=Wanted(("phantom", "cohort")))
    workspace = Workspace(config_of(values), workdir_of(values))
    say(
        f"{len(workspace.cohort.table)} examples in {workspace.data_dir}; splits "
        f"{workspace.splits.counts()}"
    )


def _grid(verb: str) -> Callable[[Any], None]:
    def run(values: Any) -> None:
        only = Wanted((verb,), model=values.model, level=_level(values.level))
        study.run(config_of(values), workdir_of(values), only=only)

    return run


def _model_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "model",
        "",
        "name in config.reconstructors or config.diagnosers; all if empty",
        flag_values=values,
    )
    flags.DEFINE_string("level", "", "one level; all if empty", flag_values=values)


def _mitigate(values: Any) -> None:
    config = config_of(values)
    settings.check_fields(config)
    if values.mitigation and values.mitigation not in config.mitigations:
        raise ValueError(
            f"config.mitigations has no {values.mitigation!r}; it has "
            f"{', '.join(sorted(config.mitigations)) or 'none'}"
        )

    asked = {
        "model": values.reconstructor,
        "mitigation": values.mitigation,
        "level": _level(values.level),
    }
    study.run(
        config,
        workdir_of(values),
        only=Wanted(("mitigate", "predict", "choose"), mitigated=True, **asked),
    )


def _level(text: str) -> str:
    try:
        return level_name(float(text)) if text else ""
    except ValueError as error:
        raise ValueError(f"--level takes a number, got {text!r}") from error


def _mitigate_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "mitigation", "", "name in config.mitigations; all if empty", flag_values=values
    )
    flags.DEFINE_string(
        "reconstructor",
        "",
        "name in config.reconstructors; all that the mitigation names if empty",
        flag_values=values,
    )
    flags.DEFINE_string(
        "level", "", "one level; all that the mitigation names if empty", flag_values=values
    )


def _study(values: Any) -> None:
    study.run(config_of(values), workdir_of(values))


def _cells(values: Any, workspace: Workspace) -> list[tuple[str, float]]:
    """The cells of the grid that --model and --level name.

    Raises:
      ValueError: there is none.
    """
    grid = workspace.grid()
    found = [
        (name, level)
        for name, level in grid
        if values.model in ("", name) and _level(values.level) in ("", level_name(level))
    ]
    if not found:
        there = ", ".join(f"{name} at {level_name(level)}" for name, level in grid)
        raise ValueError(
            f"the study has no {values.model or 'reconstructor'} at "
            f"{_level(values.level) or 'any level'}; it has {there}"
        )
    return found


def _import_weights(values: Any) -> None:
    workspace = Workspace(config_of(values), workdir_of(values))
    study.check(workspace)
    if not values.model or not values.weights:
        raise ValueError("give --model=NAME (in config.reconstructors) and --weights=FILE")
    levels = [level for _, level in _cells(values, workspace)]
    output = Path(values.output) if values.output else None
    if output is not None and len(levels) > 1:
        raise ValueError(
            "--output takes the weights of one level, --level says which of "
            f"{', '.join(map(level_name, levels))}"
        )
    for level in levels:
        files = [file.replace("{level}", level_name(level)) for file in values.weights]
        say(f"wrote {workspace.import_reconstructor(values.model, level, files, output)}")


def _import_flags(values: flags.FlagValues) -> None:
    _model_flags(values)
    flags.DEFINE_list(
        "weights",
        [],
        "files (.pth, .pt, .bin, .safetensors); {level} stands for the level",
        flag_values=values,
    )
    flags.DEFINE_string("output", "", "folder to write instead of the study's", flag_values=values)


def _reconstruct(values: Any) -> None:
    workspace = Workspace(config_of(values), workdir_of(values))
    study.check(workspace)
    settings.check_batches(workspace.config, jax.device_count(), training=False)
    for name, level in _cells(values, workspace):
        say(f"wrote {workspace.reconstruct(name, level, values.part)}")


def _reconstruct_flags(values: flags.FlagValues) -> None:
    _model_flags(values)
    flags.DEFINE_enum(
        "part", "test", ["train", "val", "test"], "part of the split", flag_values=values
    )


def _assess(values: Any) -> None:
    if not values.predictions:
        study.run(config_of(values), workdir_of(values), only="assess")
        return
    from fairrecon_jax.study.table import assess_table

    workdir = Path(values.workdir or "runs/assess")
    page = processes.on_primary(
        lambda: assess_table(values.predictions, values.mapping or None, workdir),
        "assess the table",
    )
    say(f"report: {page}")


def _report(values: Any) -> None:
    study.run(config_of(values), workdir_of(values), only="report")


def _assess_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "predictions",
        "",
        "a table from anywhere (CSV or parquet) instead of a study's",
        flag_values=values,
    )
    flags.DEFINE_string("mapping", "", "YAML that says which column is what", flag_values=values)


COMMANDS = {
    "phantom": Command(
        "write a phantom cohort in the layout of CheXpert or UCSF-PDGM",
        """
Writes radiographs (--kind=xray) or FLAIR brains (--kind=brain) with known findings, groups and planted gap, in the file layout of
CheXpert or UCSF-PDGM, and ground_truth.json. With --config kind and knobs are those of config.phantom, where no flag says otherwise.

  fairrecon phantom --kind=xray --patients=200 --size=128 --root=runs/phantom_xray
""",
        _phantom,
        _phantom_flags,
        together=False,
    ),
    "doctor": Command(
        "read a cohort's tree and list what is missing, unreadable, inconsistent or leaking",
        """
Reads every file of config.cohort.root as `prepare` would and writes nothing. Exit code 2 where there are errors.

  fairrecon doctor --config=configs/nih_chestxray14.py --config.cohort.root=DIR
""",
        _doctor,
        together=False,
    ),
    "prepare": Command(
        "read a tree into the prepared cohort and write the patient splits",
        """
Writes <workdir>/cohort and <workdir>/splits.json, once.

  fairrecon prepare --config=configs/lgg_mri.py --config.cohort.root=DIR --workdir=runs/lgg
""",
        _prepare,
        together=False,
    ),
    "train": Command(
        "train a reconstructor or a diagnoser, or all of them",
        """
Needs `prepare`. Continues where it was killed. Writes <workdir>/reconstructors/<name>/<level> or <workdir>/diagnosers/<name>.

  fairrecon train --config=configs/lgg_mri.py --config.cohort.root=DIR --workdir=runs/lgg --model=unet --level=8
""",
        _grid("train"),
        _model_flags,
    ),
    "mitigate": Command(
        "fine-tune trained reconstructors so that the diagnosis treats groups more alike",
        """
Needs `train`, and `predict` where the block lists several weights. Fine-tunes from the trained weights, on training patients, as
config.mitigations.<name> says; the diagnosers stay frozen. Continues where it was killed. Then predicts and, where the block lists several
weights, chooses one on validation patients: the smallest mean gap among those that lose no more than psnr_tolerance and task_tolerance.
Writes <workdir>/mitigated/<name>/<reconstructor>/<level> (with @<weight> behind the name for each weight tried) and
<workdir>/predictions/<reconstructor>__<level>__<name>.parquet.
Kinds: reweighting, equalised_odds, adversarial, group_dro. In the configuration:

  from fairrecon_jax.defaults import mitigation
  c.mitigations.eodd = mitigation("equalised_odds", steps=500, batch_size=16, learning_rate=1e-4, weights=(0.1, 1.0, 10.0))

  fairrecon mitigate --config=configs/my_study.py --workdir=runs/mine --mitigation=eodd --reconstructor=unet --level=10000
""",
        _mitigate,
        _mitigate_flags,
    ),
    "import-weights": Command(
        "use PyTorch weights of a reconstructor instead of training it",
        """
Reads state dicts into the reconstructor --model of the configuration, whose fields must describe the network, and writes
<workdir>/reconstructors/<name>/<level>/final: as a training does, at one level or at all. Names every key that is missing, left over or of
another shape. Pix2Pix takes the generator alone, or generator and discriminator as two files. A study trains no reconstructor that has
imported weights; the field config.reconstructors.NAME.weights makes the import a part of the study.

  fairrecon import-weights --config=configs/lgg_mri.py --workdir=runs/lgg --model=pix2pix --level=8 --weights=net_G.pth,net_D.pth
""",
        _import_weights,
        _import_flags,
    ),
    "reconstruct": Command(
        "write reconstructed images",
        """
Needs `train`. Writes 16-bit PNG files, degraded and reconstructed, to <workdir>/reconstructions/<name>/<level>/.

  fairrecon reconstruct --config=configs/lgg_mri.py --workdir=runs/lgg --model=unet --level=8
""",
        _reconstruct,
        _reconstruct_flags,
    ),
    "predict": Command(
        "run the tandem step over validation and test",
        """
Needs `train`. Degrades, reconstructs and diagnoses original and reconstruction; writes <workdir>/predictions/. Mitigated reconstructors
are predicted with by `mitigate`.

  fairrecon predict --config=configs/lgg_mri.py --workdir=runs/lgg
""",
        _grid("predict"),
        _model_flags,
    ),
    "assess": Command(
        "performance and fairness of predictions, a study's or anyone's",
        """
Needs `predict`, and `mitigate` where the study has mitigations. Writes <workdir>/predictions.parquet, results/performance.csv and
results/fairness.csv from the study's predictions, or assesses a table of predictions made elsewhere and writes the report too.

  fairrecon assess --config=configs/lgg_mri.py --workdir=runs/lgg
  fairrecon assess --predictions=table.csv --mapping=columns.yaml --workdir=runs/mine
""",
        _assess,
        _assess_flags,
    ),
    "report": Command(
        "write the report of a study whose results are there",
        """
Needs `assess`. Writes <workdir>/report/index.html with figures (PNG, PDF) and tables (CSV, LaTeX).

  fairrecon report --config=configs/lgg_mri.py --workdir=runs/lgg
""",
        _report,
    ),
    "study": Command(
        "all of it, from one configuration; skips what is done, continues what was killed",
        """
Makes phantom, cohort, splits, trainings, predictions, assessment and report, and says which piece it is in and how long is left.

  fairrecon study --config=configs/nih_chestxray14.py --config.cohort.root=DIR --workdir=runs/nih

One process uses all accelerators of its machine. Several processes, on one machine or many, train and predict together; process 0 does
the rest alone and it alone writes and prints. The work directory must lie on a disk that all of them see, and batch_size,
eval_batch_size and tandem.batch_size must be multiples of the number of all accelerators. With Slurm or Open MPI, one process a node:

  srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --kill-on-bad-exit=1 fairrecon study --config=FILE --workdir=DIR
  mpirun -n 2 --map-by ppr:1:node fairrecon study --config=FILE --workdir=DIR

By hand, on each machine with its own JAX_PROCESS_ID (0 on the machine named in the address):

  JAX_COORDINATOR_ADDRESS=HOST:1234 JAX_NUM_PROCESSES=2 JAX_PROCESS_ID=0 fairrecon study --config=FILE --workdir=DIR
""",
        _study,
    ),
}
