"""Made-up studies that many tests read."""

import pytest

from fairrecon_jax.report.select import Findings
from tests.support import report_fake as fake
from tests.support.report_findings import findings_of, no_findings


@pytest.fixture(scope="session")
def mri() -> Findings:
    """Two methods without mitigation at three levels."""
    return findings_of(fake.mri_spec())


@pytest.fixture(scope="session")
def mitigated() -> Findings:
    """One method without and with two mitigations."""
    return findings_of(fake.mri_spec(), ("unet",), ("none", "reweighting", "eodd"))


@pytest.fixture(scope="session")
def nothing() -> Findings:
    """Tables without a row."""
    return no_findings(fake.mri_spec())
