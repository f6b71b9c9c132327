"""Cohorts assessed once for many tests; all tests keep their shapes, so that programs are compiled
once.
"""

import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, assess, compare
from tests.support import hand
from tests.support import predictions_fake as fake

QUICK = {"replicates": 20, "permutations": 199, "null_draws": 20, "auroc_gaps": False}


@pytest.fixture(scope="session")
def quick():
    """Options for small runs, with changes."""
    return lambda **changes: AssessOptions(**{**QUICK, **changes})


@pytest.fixture(scope="session")
def harmed():
    """Predictions in which women's positives are lost, and their assessment."""
    table = fake.xray(harm=1.5)
    return table, *assess(
        table,
        fake.XRAY,
        AssessOptions(
            **{
                **QUICK,
                "auroc_gaps": True,
                "conventions": ("worst_case", "mean", "worst_case_estimable"),
            }
        ),
    )


@pytest.fixture(scope="session")
def brain():
    """Predictions with patient-level tasks in which women's Dice is lost, and their assessment."""
    table = fake.brain(harm=0.1)
    return table, *assess(table, fake.BRAIN, AssessOptions(**QUICK))


@pytest.fixture(scope="session")
def assessed():
    """Performance and fairness of the scenarios whose rates are chosen."""
    return hand.judge(hand.table(hand.NAMES))


@pytest.fixture(scope="session")
def compared_by_hand():
    """The same decisions, "before" on unmitigated and "after" on mitigated reconstructions."""
    after = hand.table(hand.NAMES)
    unmitigated = {f"{n}__reconstructed": after[f"{n}__original"] for n in hand.NAMES}
    stacked = pd.concat([after.assign(**unmitigated), after.assign(mitigation="remedy")])
    return compare(stacked, hand.SPEC, hand.options())
