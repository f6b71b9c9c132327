"""Assessment: from a predictions table to performance and fairness of every task, attribute,
reconstructor and level.
"""

from fairrecon_jax.assessment.comparison import compare
from fairrecon_jax.assessment.curves import trends
from fairrecon_jax.assessment.doses import dose_responses
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.predictions import (
    read_predictions,
    read_results,
    write_predictions,
    write_results,
)
from fairrecon_jax.assessment.roc_curves import score_curves
from fairrecon_jax.assessment.rows import COLUMNS
from fairrecon_jax.assessment.run import assess
from fairrecon_jax.assessment.summary_points import points
from fairrecon_jax.metrics import IMAGE_METRICS

__all__ = [
    "COLUMNS",
    "IMAGE_METRICS",
    "AssessOptions",
    "assess",
    "compare",
    "dose_responses",
    "points",
    "read_predictions",
    "read_results",
    "score_curves",
    "trends",
    "write_predictions",
    "write_results",
]
