"""The grid cohort x reconstructor x level as a list of pieces: what is done, what is left, and doing it.

A piece is done when its record lies in `<workdir>/pieces/` with the digest of everything it depends on; then it is skipped. A study
that was killed continues with the piece it was in (trainings from their last checkpoint) and ends in the same numbers.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from fairrecon_jax import finetuning, settings
from fairrecon_jax.assessment import write_results
from fairrecon_jax.atomic import write_atomic
from fairrecon_jax.panels import write_report
from fairrecon_jax.workspace import Workspace, level_name


@dataclasses.dataclass(frozen=True)
class Piece:
    """One piece of a study.

    Attributes:
      name: unique in the study, e.g. "train unet at 8".
      kind: pieces of one kind take about equally long.
      digest: of everything the result depends on.
      run: makes it.
    """

    name: str
    kind: str
    digest: str
    run: Callable[[], Any]

    def record(self, workdir: Path) -> Path:
        """The file that says the piece is done."""
        return workdir / "pieces" / f"{self.name.replace(' ', '_')}.json"

    def done(self, workdir: Path) -> dict[str, Any] | None:
        """The piece's record if it is done and nothing it depends on has changed, else None."""
        path = self.record(workdir)
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found if found.get("digest") == self.digest else None


def plan(workspace: Workspace) -> list[Piece]:
    """All pieces of a study in the order they are made, each digest built from those it depends on."""
    config = workspace.config
    source = settings.digest(config.cohort, config.phantom, config.splits)
    pieces = []
    if config.phantom.kind and not config.cohort.root:
        pieces.append(Piece("phantom", "phantom", settings.digest(config.phantom), workspace.write_phantom))
    pieces.append(Piece("cohort", "cohort", source, workspace.prepare))
    readers = {}
    for name, block in config.diagnosers.items():
        readers[name] = settings.digest(source, name, block)
        pieces.append(Piece(f"train {name}", f"train {name}", readers[name], _call(workspace.train_diagnoser, name)))
    cells, models, cells_of = [], {}, {}
    for name, level in workspace.grid():
        physics = {key: value for key, value in config.degradation.items() if key not in settings.GRID}
        block = _without_levels(config.reconstructors[name])
        trained = settings.weights_of(config, name)
        model = settings.digest(source, name, block, physics, level)
        if trained != name:
            model = settings.digest(model, trained, _without_levels(config.reconstructors[trained]))
        where = f"{name} at {level_name(level)}"
        if files := settings.weight_files(config, name, level_name(level)):
            model = settings.digest(model, [_stamp(Path(file)) for file in files])
            pieces.append(Piece(f"import {where}", "import", model, _call(workspace.import_reconstructor, name, level, files)))
        elif imported := workspace.imported(name, level):
            model = settings.digest(model, imported)
            pieces.append(Piece(f"import {where}", "import", model, _call(workspace.weights, workspace.folder(name, level))))
        elif "train" in block:
            pieces.append(Piece(f"train {where}", f"train {name}", model, _call(workspace.train_reconstructor, name, level)))
        cells.append(settings.digest(model, readers, config.seed))
        models[name, level], cells_of[name, level] = model, cells[-1]
        pieces.append(Piece(f"predict {where}", f"predict {name}", cells[-1], _call(workspace.predict, name, level)))
    more = finetuning.pieces(workspace, models, cells_of, readers)
    pieces += [Piece(*fields) for fields in more]
    cells += [fields[2] for fields in more]
    assessed = settings.digest(cells, config.assess, config.degradation.fairness_level)
    pieces.append(Piece("assess", "assess", assessed, _call(_assess, workspace)))
    pieces.append(Piece("report", "report", settings.digest(assessed, config.report), _call(write_report, workspace)))
    return pieces


def run(config: ConfigDict, workdir: str | Path, only: str | Callable[[str], bool] = "") -> Path:
    """Makes every piece of a study that is not made yet.

    Args:
      config: a study configuration (see `configs/`).
      workdir: the folder that holds everything the study makes.
      only: make just the pieces whose name starts with this, or for whose name it is true, and always anew ("" = all that are left).

    Returns:
      The path of the report's page.

    Raises:
      ValueError: a field of the configuration is refused, or `only` names no piece; the message says which there are.
    """
    workspace = Workspace(config, workdir)
    check(workspace)
    pieces = plan(workspace)
    use_compilation_cache(workspace.workdir)
    settings.write_config(config, workspace.workdir / "config.json")
    wanted = only if callable(only) else lambda name: name.startswith(only)
    chosen = [piece for piece in pieces if wanted(piece.name)]
    if not chosen:
        asked = "as asked" if callable(only) else repr(only)
        raise ValueError(f"no piece of the study is called {asked}; there are: {', '.join(piece.name for piece in pieces)}")
    _announce(chosen, workspace.workdir)
    for number, piece in enumerate(chosen, 1):
        if not only and piece.done(workspace.workdir):
            continue
        left = [p for p in chosen[number - 1 :] if only or not p.done(workspace.workdir)]
        print(f"[{number}/{len(chosen)}] {piece.name} ({_remaining(left, pieces, workspace.workdir)})", flush=True)
        started = time.monotonic()
        piece.run()
        _write_record(piece, workspace.workdir, time.monotonic() - started)
    page = workspace.workdir / "report" / "index.html"
    if page.exists():
        print(f"report: {page}")
    return page


def check(workspace: Workspace) -> None:
    """Builds every typed object once, so that a wrong field is named before anything is read or compiled.

    Raises:
      ValueError: a field, kind or level is refused.
    """
    config = workspace.config
    settings.cohort_config(config)
    settings.assess_options(config)
    degradation = settings.degradation(config)
    for level in settings.studied_levels(config):
        degradation.operator(level)
    for name, block in config.reconstructors.items():
        model = settings.reconstructor(config, name)
        if hasattr(model, "check"):
            try:
                model.check(config.cohort.image_size)
            except ValueError as error:
                raise ValueError(f"config.reconstructors.{name}: {error}") from error
        if "train" in block:
            settings.train_config(block, f"reconstructors.{name}")
        for level in settings.reconstructor_levels(config, name):
            for file in settings.weight_files(config, name, level_name(level)):
                if not Path(file).is_file():
                    raise ValueError(f"config.reconstructors.{name}.weights: there is no file {file}")
    for name, block in config.diagnosers.items():
        settings.train_config(block, f"diagnosers.{name}")
    finetuning.check(config)
    if config.phantom.kind and not config.cohort.root:
        settings.phantom_options(config)
    else:
        root = workspace.root
        if not root.is_dir():
            raise ValueError(f"config.cohort.root {str(root)!r} is not a folder: give the folder of the downloaded cohort")


def use_compilation_cache(workdir: Path) -> None:
    """Keeps compiled programs in the work directory, so that a second run does not compile them again."""
    jax.config.update("jax_compilation_cache_dir", str((workdir / "compiled").absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def _assess(workspace: Workspace) -> None:
    workspace.assess()
    sweeps = finetuning.sweeps(workspace)
    if sweeps is not None:
        write_results(workspace.workdir, mitigation_sweep=sweeps)


def _stamp(path: Path) -> tuple[str, int, int] | None:
    """A file's name, size and time of its last change; None where it is missing."""
    return (path.name, path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None


def _without_levels(block: ConfigDict) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "levels"}


def _call(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    return lambda: function(*args)


def _announce(pieces: list[Piece], workdir: Path) -> None:
    done = [piece.name for piece in pieces if piece.done(workdir)]
    left = [piece.name for piece in pieces if piece.name not in done]
    print(f"study in {workdir}: {len(done)} of {len(pieces)} pieces are done; left: {', '.join(left) or 'nothing'}", flush=True)


def _remaining(left: list[Piece], pieces: list[Piece], workdir: Path) -> str:
    """Words for the time that is left, from what earlier pieces of the same kind took."""
    seconds: dict[str, float] = {}
    for piece in pieces:
        path = piece.record(workdir)
        if path.exists():
            seconds[piece.kind] = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    known = [seconds[piece.kind] for piece in left if piece.kind in seconds]
    unknown = len({piece.kind for piece in left if piece.kind not in seconds})
    estimate = f"about {duration(sum(known))} for {len(known)} of the {len(left)} pieces left" if known else f"{len(left)} pieces left"
    return estimate + (f", {unknown} kinds not timed yet" if unknown else "")


def duration(seconds: float) -> str:
    """Seconds as words, e.g. "40 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _write_record(piece: Piece, workdir: Path, seconds: float) -> None:
    write_atomic(piece.record(workdir), json.dumps({"digest": piece.digest, "seconds": round(seconds, 1)}))
    logging.info("%s took %s", piece.name, duration(seconds))
