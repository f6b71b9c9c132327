"""One assessed cohort for many tests; all tests keep its shape, so that its programs are compiled
once.
"""

import pytest

from fairrecon_jax.assessment import AssessOptions, assess
from tests.support import predictions_fake as fake

QUICK = {"replicates": 100, "flips": 199, "null_draws": 20, "auroc_gaps": False}


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
