"""Files of a finished work directory that lose a bit, their end or themselves."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.faults.runs import CONFIG, differences
from fairrecon_jax.cli.main import main
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import Stage

KINDS = {
    "phantom image": "phantom/*/*/*/*/*.jpg",
    "phantom table": "phantom/*/*.csv",
    "phantom truth": "phantom/ground_truth.json",
    "cohort images": "cohort/**/*.array_record*",
    "cohort table": "cohort/**/table.parquet",
    "cohort exclusions": "cohort/**/exclusions.csv",
    "cohort origin": "cohort/**/origin.json",
    "cohort description": "cohort/**/[df]*.json",
    "splits": "splits.json",
    "weights": "*/**/final/variables/**/d/*",
    "list of weights": "*/**/final/variables/manifest.ocdbt",
    "names of weights": "*/**/final/variables/_METADATA",
    "facts on weights": "*/**/final/meta/metadata",
    "choices of a training": "*/**/run.json",
    "log of a training": "*/**/metrics.jsonl",
    "predictions": "predictions/*.parquet",
    "choice of a weight": "mitigated/*/*/*/chosen.json",
    "sweep of weights": "mitigated/*/*/*/sweep.csv",
    "all predictions": "predictions.parquet",
    "results": "results/*.csv",
    "page": "report/index.html",
    "figure": "report/figures/*.png",
    "table of the report": "report/tables/*.csv",
    "record": "stages/*.json",
}
"""Every kind of file in a work directory."""
NEXT = {
    "phantom": ("cohort",),
    "cohort": ("predict",),
    "train": ("predict",),
    "mitigate": ("predict",),
    "predict": ("choose", "assess"),
    "choose": ("assess",),
    "assess": ("report",),
}
"""By verb of a stage, those that read what it made."""


def flip(path: Path, rng: np.random.Generator) -> None:
    """Turns one bit over."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def cut(path: Path, rng: np.random.Generator) -> None:
    """Takes the end away."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content))])


def delete(path: Path, _: np.random.Generator) -> None:
    """Removes it."""
    path.unlink()


HOW: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "bit flipped": flip,
    "cut": cut,
    "deleted": delete,
}


def told(*words: str) -> tuple[int, str]:
    """Runs a command here; its code and what it says."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = main(list(words))
        except Exception as error:  # a traceback for whoever types the command
            return 1, f"{said.getvalue()}\nTraceback: {type(error).__name__}: {error}"
    return code, said.getvalue()


def damaged(
    workdir: Path,
    config: Any,
    whole: Mapping[str, str],
    kind: str,
    how: str,
    used: bool,
    rng: np.random.Generator,
    file: Path = CONFIG,
) -> dict[str, Any]:
    """Damages one file of a finished work directory and runs the study again.

    Args:
      workdir: the folder, which is altered.
      config: of the study.
      whole: `tables` of the undisturbed study.
      kind: of `KINDS`.
      how: of `HOW`.
      used: what was made from the file is removed as well, so that it is read again.
      rng: draws the file and the place.
      file: that holds the configuration.
    """
    files = [p for p in sorted(workdir.glob(KINDS[kind])) if p.is_file() and p.stat().st_size]
    path = files[rng.integers(len(files))]
    name = path.relative_to(workdir).as_posix()
    stages = plan(Context(config, workdir))
    if used:
        _forget(stages, workdir, path)
    HOW[how](path, rng)
    words = (f"--config={file}", f"--workdir={workdir}")
    _, verified = told("study", "--verify", *words)
    named = path.name in verified
    code, said = told("study", *words)
    lines = said.strip().splitlines()
    if code == 0:
        outcome = "made anew" if "left: nothing" not in said else "not read"
    else:
        refused = path.name in lines[-1] or any(p.name in lines[-1] for p in path.parents[:3])
        outcome = "refused by name" if code == 2 and refused else f"code {code}"
        # what the line says is to be removed
        _remove(lines[-1], workdir, path)
        code, again = told("study", *words)
        lines += again.strip().splitlines()
    differ = differences(workdir, whole) if code == 0 else ["the study did not end"]
    return {
        "fault": how + (", then read" if used else ""),
        "stage": kind,
        "outcome": outcome + ("" if named else "; not named by --verify"),
        "told": f"{name}: {lines[-1] if code else next((x for x in lines if name in x), '')}",
        "end": "same tables" if not differ else f"other: {', '.join(differ)}",
    }


def _forget(stages: list[Stage], workdir: Path, path: Path) -> None:
    """Removes what was made from a file."""
    made = next((stage for stage in stages if path in stage.files()), None)
    for stage in stages:
        if made is not None and stage.verb in NEXT.get(made.verb, ()):
            for file in stage.files():
                file.unlink(missing_ok=True)
            if stage.clear is not None:
                stage.clear()
            stage.record(workdir / "stages").unlink(missing_ok=True)


def _remove(line: str, workdir: Path, path: Path) -> None:
    """Removes the file or folder that a refusal says to remove."""
    _, found, after = line.partition("remove ")
    word = Path(after.split(" ")[0].rstrip(",.:;")) if found else path
    if word.is_relative_to(workdir) and word != workdir and word.exists():
        shutil.rmtree(word) if word.is_dir() else word.unlink()
    else:
        path.unlink(missing_ok=True)


def trials(
    out: Path, finished: Path, config: Any, whole: Mapping[str, str], count: int, seed: int
) -> Iterator[dict[str, Any]]:
    """So many damages, every kind of file in turn; a row for each."""
    rng = np.random.default_rng(seed)
    kinds, hows = list(KINDS), list(HOW)
    for number in range(count):
        workdir = out / f"damage{number}"
        shutil.copytree(finished, workdir)
        # each kind meets each damage sooner or later
        kind = kinds[number % len(kinds)]
        how = hows[(number + number // len(kinds)) % len(hows)]
        yield damaged(
            workdir, config, whole, kind, how, (number + number // len(kinds)) % 2 == 0, rng
        )
        shutil.rmtree(workdir)
