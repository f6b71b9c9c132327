"""The tables and figures of the paper that this package repeats, from the results of finished
studies, under the paper's numbers and beside the paper's values.

M. Wohlrapp, N. Bubeck, D. Rueckert, W. Lotter, "Evaluating the Impact of Medical Image
Reconstruction on Downstream AI Fairness and Performance", MIDL 2026, PMLR 315:4600-4638,
arXiv:2604.10904.
"""

from fairrecon_jax.report.paper.page import build_paper_report
from fairrecon_jax.report.paper.studies import PaperStudy

__all__ = ["PaperStudy", "build_paper_report"]
