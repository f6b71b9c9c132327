"""Did reconstruction change the diagnosis, for whom, and how sure is that: tests, intervals, nulls
and verdicts.
"""

from fairrecon_jax.inference.changes import (
    Changes,
    auroc_changes,
    decision_changes,
    score_changes,
    value_changes,
)
from fairrecon_jax.inference.clustered import Interval, change_interval, rate_interval
from fairrecon_jax.inference.clustered_values import (
    auroc_change_interval,
    auroc_interval,
    mean_interval,
)
from fairrecon_jax.inference.comparison import Comparison, Quantity
from fairrecon_jax.inference.delong import placements
from fairrecon_jax.inference.dose import dose_positions, slope_tables
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.everyone import EveryoneTest, everyone_test
from fairrecon_jax.inference.group_family import FamilyTest, adjust_cells, family_test
from fairrecon_jax.inference.group_result import GroupTest, one_cell
from fairrecon_jax.inference.group_tables import REASONS, PatientTables, patient_tables
from fairrecon_jax.inference.methods import MethodTest, method_test
from fairrecon_jax.inference.mitigation_verdict import MITIGATIONS, judge_mitigation
from fairrecon_jax.inference.multiplicity import adjust, benjamini_hochberg, holm
from fairrecon_jax.inference.permutation import (
    PermutationNull,
    permutation_null,
    permutation_null_means,
)
from fairrecon_jax.inference.power import Detectable, equivalent, minimum_detectable_change
from fairrecon_jax.inference.published import (
    CAUTION,
    Published,
    published_means_tests,
    published_test,
    published_tests,
)
from fairrecon_jax.inference.trend import TrendTest, trend_test
from fairrecon_jax.inference.verdict import GAPS, VERDICTS, Verdict, judge

__all__ = [
    "CAUTION",
    "GAPS",
    "MITIGATIONS",
    "REASONS",
    "VERDICTS",
    "Changes",
    "Comparison",
    "Detectable",
    "EveryoneTest",
    "FamilyTest",
    "GroupTest",
    "Interval",
    "MethodTest",
    "PatientTables",
    "PermutationNull",
    "Published",
    "Quantity",
    "TrendTest",
    "Verdict",
    "adjust",
    "adjust_cells",
    "auroc_change_interval",
    "auroc_changes",
    "auroc_interval",
    "benjamini_hochberg",
    "change_interval",
    "decision_changes",
    "dose_positions",
    "equivalent",
    "everyone_test",
    "family_test",
    "group_test",
    "holm",
    "judge",
    "judge_mitigation",
    "mean_interval",
    "method_test",
    "minimum_detectable_change",
    "one_cell",
    "patient_tables",
    "permutation_null",
    "permutation_null_means",
    "placements",
    "published_means_tests",
    "published_test",
    "published_tests",
    "rate_interval",
    "score_changes",
    "slope_tables",
    "trend_test",
    "value_changes",
]
