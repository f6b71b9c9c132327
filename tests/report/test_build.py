"""The whole report from made-up tables."""

from __future__ import annotations

import fake

from fairrecon_jax.report import build_report


def test_a_report_is_written(tmp_path):
    spec = fake.mri_spec()
    cells = fake.cells(spec)
    path = build_report(tmp_path, spec, fake.performance(spec, cells), fake.fairness(spec, cells), fake.cohort_table(spec))
    assert path == tmp_path / "report" / "index.html"
    assert "UCSF-PDGM phantoms" in path.read_text(encoding="utf-8")
    assert (tmp_path / "report" / "figures" / "overview_performance.pdf").stat().st_size > 1000
