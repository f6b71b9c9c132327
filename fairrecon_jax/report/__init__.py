"""The report: tables, figures and one self-contained HTML page made from the assessment's long
tables.
"""

from fairrecon_jax.report.build import build_report
from fairrecon_jax.report.options import ExamplePanel, ReportOptions

__all__ = ["ExamplePanel", "ReportOptions", "build_report"]
