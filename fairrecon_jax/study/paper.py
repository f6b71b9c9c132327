"""The paper's tables and figures from finished work directories."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fairrecon_jax.assessment import read_predictions, read_results
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.paper import PaperStudy, build_paper_report
from fairrecon_jax.report.paper.studies import CONVENTION
from fairrecon_jax.report.select import Findings
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import InputError


def read_study(folder: str | os.PathLike[str], options: ReportOptions | None = None) -> PaperStudy:
    """The results of a finished study, as the paper's items need them.

    Args:
      folder: its work directory.
      options: of the report; counts below its `min_cell` are withheld.

    Raises:
      InputError: the study has not been assessed; the message names the file that lacks.
    """
    workdir, options = Workdir(Path(folder)), options or ReportOptions()
    wanted = (workdir.predictions, workdir.result("performance"), workdir.result("fairness"))
    for path in wanted:
        if not path.is_file():
            raise InputError(f"{folder} holds no {path.name}: run `fairrecon assess` there first")
    table, spec = read_predictions(workdir.predictions)
    columns = ["example_id", "patient_id", "split", *(a.name for a in spec.attributes)]
    people = table[columns].drop_duplicates("example_id").reset_index(drop=True)
    labels = table.drop_duplicates("example_id").reset_index(drop=True)
    people = people.assign(
        **{t.name: labels[f"{t.name}__label"] for t in spec.tasks if f"{t.name}__label" in labels}
    )

    def result(name: str) -> pd.DataFrame | None:
        known = workdir.result(name).is_file()
        return read_results(workdir.root, name) if known else None

    findings = Findings.of(
        spec,
        read_results(workdir.root, "performance"),
        read_results(workdir.root, "fairness"),
        CONVENTION,
        sweep=result("mitigation_sweep"),
        min_cell=options.min_cell,
    )
    return PaperStudy(workdir.root, findings, people)


def write_paper_report(
    workdirs: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    options: ReportOptions | None = None,
) -> Path:
    """Writes the paper's tables and figures, see `report.paper.build_paper_report`.

    Args:
      workdirs: of one finished study, or of one of radiographs and one of brain MRI.
      folder: to write.
      options: of the report.

    Returns:
      The path of the page.

    Raises:
      InputError: a study has not been assessed, or both are of one modality.
    """
    studies = [read_study(one, options) for one in workdirs]
    return build_paper_report(Path(folder), studies, options, shown=True)
