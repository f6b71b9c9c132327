"""The cells of the study and how they are run: in processes side by side, resumable, each finished
cell kept at once.
"""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.calibration import coverage, designs, families, rows, words
from experiments.calibration.coverage_designs import Design
from experiments.calibration.coverage_designs import designs as coverage_designs
from experiments.calibration.laws import Law
from experiments.calibration.measure import Measured, Share, measure_law

COLUMNS = ("section", "cell", "planted", "cohorts", "seed", "quantity", "share", "of", "seconds")
LAWS, FAMILY, DETECTABLE, MITIGATION = "laws", "family", "detectable", "mitigation"
EQUIVALENT, EVERYONE, COVERAGE = "equivalent", "everyone", "coverage"


@dataclasses.dataclass(frozen=True)
class Case:
    """A cell of the study.

    Attributes:
      section: what is studied.
      name: unique in the section.
      planted: there is something to find; such cells get fewer cohorts.
      measure: (cohorts, seed) -> shares.
    """

    section: str
    name: str
    planted: bool
    measure: Callable[[int, int], Measured]

    @property
    def key(self) -> tuple[str, str]:
        """Section and name."""
        return self.section, self.name


def law_table() -> dict[str, Law]:
    """All laws by name."""
    return {law.name: law for law in (*designs.laws(), *rows.laws())}


def _covered(design: Design, number: int, cohorts: int, seed: int) -> Measured:
    """Coverage of a printed interval of a single quantity."""
    row = coverage.run_design(design, cohorts, 1000 * seed + number)
    printed = float(row["printed"])  # type: ignore[arg-type]
    shown = round(printed * cohorts)
    return {
        "covered": Share(float(row["coverage"]), shown),  # type: ignore[arg-type]
        "printed": Share(printed, cohorts),
    }


@functools.lru_cache(maxsize=1)
def cases() -> dict[tuple[str, str], Case]:
    """All cells by section and name."""
    found = [
        Case(LAWS, law.name, law.harmed is not None, functools.partial(measure_law, law))
        for law in law_table().values()
    ]
    found += [
        Case(
            COVERAGE,
            f"{design.interval}: {design.name}",
            False,
            functools.partial(_covered, design, number),
        )
        for number, design in enumerate(coverage_designs())
    ]
    listed: tuple[tuple[str, bool, Any, Any], ...] = (
        (MITIGATION, False, words.measure_mitigation, words.MITIGATIONS),
        (EQUIVALENT, False, words.measure_equivalence, words.EQUIVALENCES),
        (EVERYONE, False, words.measure_everyone, words.EVERYONE),
        (FAMILY, False, families.measure_family, families.FAMILIES),
        (DETECTABLE, True, families.measure_detection, families.DETECTIONS),
    )
    found += [
        Case(section, item.name, planted, functools.partial(measure, item))
        for section, planted, measure, items in listed
        for item in items
    ]
    return {case.key: case for case in found}


def run_case(key: tuple[str, str], cohorts: int, seed: int) -> list[dict[str, Any]]:
    """Rows of one cell, one per quantity.

    Args:
      key: section and name.
      cohorts: how many.
      seed: of the study.

    Returns:
      Rows with `COLUMNS`.
    """
    case, start = cases()[key], time.process_time()
    measured = case.measure(cohorts, seed)
    seconds = round(time.process_time() - start, 1)
    given = (case.section, case.name, case.planted, cohorts, seed)
    return [
        dict(zip(COLUMNS, (*given, quantity, share.value, share.of, seconds), strict=True))
        for quantity, share in measured.items()
    ]


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file aside and moves it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    write(aside)
    os.replace(aside, path)


def finished(path: Path) -> pd.DataFrame:
    """The rows that a file holds; none where there is no file."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))


def _results(
    todo: list[tuple[tuple[str, str], int]], seed: int, workers: int
) -> Iterator[list[dict[str, Any]]]:
    """Rows of cells as they finish."""
    if workers == 1:
        yield from (run_case(key, cohorts, seed) for key, cohorts in todo)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = [pool.submit(run_case, key, cohorts, seed) for key, cohorts in todo]
        yield from (done.result() for done in as_completed(waiting))


def run_study(
    path: Path,
    cohorts: int,
    planted_cohorts: int,
    *,
    seed: int = 0,
    workers: int = 1,
    only: str = "",
    progress: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Runs the cells that a file does not hold yet, and adds each to it as it finishes.

    Args:
      path: of the CSV.
      cohorts: cohorts of a cell without harm.
      planted_cohorts: of a cell with something to find.
      seed: of the study.
      workers: processes.
      only: text that the "section: name" of a cell holds.
      progress: gets a line per finished cell.

    Returns:
      The rows of all chosen cells, in the order of `cases`.
    """
    chosen = [c for c in cases().values() if only in f"{c.section}: {c.name}"]
    wanted = {case.key: planted_cohorts if case.planted else cohorts for case in chosen}
    table, start = finished(path), time.perf_counter()
    given = table[table["seed"] == seed]
    done = set(zip(given["section"], given["cell"], given["cohorts"], strict=True))
    todo = [(key, number) for key, number in wanted.items() if (*key, number) not in done]
    # what was run with another seed or number of cohorts is run again
    again = {key for key, _ in todo}
    stale = [key in again for key in zip(table["section"], table["cell"], strict=True)]
    table = table[[not s for s in stale]]
    for number, rows_of_cell in enumerate(_results(todo, seed, workers), 1):
        parts = [part for part in (table, pd.DataFrame(rows_of_cell)) if len(part)]
        table = pd.concat(parts, ignore_index=True)
        write_aside(path, functools.partial(table.to_csv, index=False))
        first = rows_of_cell[0]
        minutes = (time.perf_counter() - start) / 60
        progress(
            f"{number}/{len(todo)} {minutes:.1f} min {first['section']}: {first['cell']}: "
            + ", ".join(f"{row['quantity']} {row['share']:.3f}" for row in rows_of_cell)
        )
    order = {key: place for place, key in enumerate(wanted)}
    place = [order.get(key, -1) for key in zip(table["section"], table["cell"], strict=True)]
    table = table.assign(place=place)
    table = table[table["place"] >= 0].sort_values("place", kind="stable")
    return table.drop(columns="place").reset_index(drop=True)
