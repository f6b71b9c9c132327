"""Did reconstruction change the diagnosis, for whom, and how sure is that: tests, intervals, nulls
and verdicts.
"""

from fairrecon_jax.inference.bootstrap import (
    bootstrap_auroc,
    bootstrap_decisions,
    bootstrap_means,
)
from fairrecon_jax.inference.delong import AurocChange, auroc, delong_change
from fairrecon_jax.inference.did import did_test, did_test_auroc, did_test_continuous
from fairrecon_jax.inference.did_result import REASONS, DidResult
from fairrecon_jax.inference.intervals import Bootstrap, Estimate
from fairrecon_jax.inference.multiplicity import adjust, benjamini_hochberg, holm
from fairrecon_jax.inference.permutation import (
    PermutationNull,
    permutation_null,
    permutation_null_means,
)
from fairrecon_jax.inference.power import Detectable, equivalent, minimum_detectable_change
from fairrecon_jax.inference.published import CAUTION, Published, published_test
from fairrecon_jax.inference.verdict import VERDICTS, Verdict, judge, select

__all__ = [
    "CAUTION",
    "REASONS",
    "VERDICTS",
    "AurocChange",
    "Bootstrap",
    "Detectable",
    "DidResult",
    "Estimate",
    "PermutationNull",
    "Published",
    "Verdict",
    "adjust",
    "auroc",
    "benjamini_hochberg",
    "bootstrap_auroc",
    "bootstrap_decisions",
    "bootstrap_means",
    "delong_change",
    "did_test",
    "did_test_auroc",
    "did_test_continuous",
    "equivalent",
    "holm",
    "judge",
    "minimum_detectable_change",
    "permutation_null",
    "permutation_null_means",
    "published_test",
    "select",
]
