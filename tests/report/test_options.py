"""Choices of the report that change what is written."""

from __future__ import annotations

import pandas as pd
import pytest

from fairrecon_jax.assessment import assess
from fairrecon_jax.report.build import build_report
from fairrecon_jax.report.options import ReportOptions
from tests.support import hand

TASKS = ("widened",)


@pytest.mark.parametrize("pdf", [True, False])
def test_pdfs_are_written_and_linked_where_they_are_wanted(tmp_path, pdf):
    tables = assess(hand.table(TASKS), hand.spec(TASKS), hand.options())
    options = ReportOptions(pdf=pdf, dpi=50)
    page = build_report(tmp_path, hand.spec(TASKS), *tables, pd.DataFrame(), options=options)
    figures = tmp_path / "report" / "figures"
    assert any(figures.glob("*.png"))
    assert any(figures.glob("*.pdf")) == pdf
    assert ('.pdf">' in page.read_text(encoding="utf-8")) == pdf
