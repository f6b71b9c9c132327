"""Dose-response per group in the report."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess, dose_responses
from fairrecon_jax.report.figures.doses import dose_responses as drawings
from fairrecon_jax.report.pages import DOSES
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.small_cells import withheld_slopes
from fairrecon_jax.report.tables.doses import slopes
from tests.assessment.test_doses import spec, table
from tests.support import hand


@pytest.fixture(scope="module")
def study():
    options = hand.options(permutations=199, threshold_redraws=0, null_draws=19)
    made = table()
    return (*assess(made, spec(), options), dose_responses(made, spec(), options))


def test_a_figure_and_a_table_say_what_the_test_says(study):
    performance, fairness, doses = study
    findings = dataclasses.replace(Findings.of(spec(), performance, fairness), doses=doses)
    (drawn,) = drawings(findings)
    assert drawn.key == "dose_same"
    assert "U-Net, rates by sex: differs, adjusted p" in drawn.caption
    panels = drawn.figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "sensitivity",
        "specificity",
        "AUROC",
    ]
    # women with the finding: 54, 48, 30 of 60
    np.testing.assert_allclose(panels[0].lines[0].get_ydata(), (54 / 60, 48 / 60, 30 / 60))
    shown = slopes(findings).frame
    row = shown[(shown["group"] == "Female") & (shown["metric"] == "sensitivity")].iloc[0]
    assert row["slope"].startswith("−0.400 (")
    assert row["verdict"] == "differs"
    assert slopes(dataclasses.replace(findings, doses=None)) is None
    assert drawings(dataclasses.replace(findings, doses=None)) == []
    blocks = DOSES.section(findings).blocks
    assert [block.key for block in blocks] == ["dose_same", "dose_slopes"]


def test_slopes_that_rest_on_a_handful_are_withheld_with_the_others_of_their_comparison(study):
    doses = study[2]
    few = doses.assign(n_patients=doses["n_patients"].where(doses["group"] != "Male", 4))
    few.loc[few["metric"] == "specificity", "n_patients"] = 60
    found = withheld_slopes(few, 10)
    hidden = found["metric"] != "specificity"
    assert found.loc[hidden, ["slope", "ci_low", "extra_high"]].isna().all(axis=None)
    assert found.loc[hidden & (found["group"] == "Male"), ["n", "n_patients"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(found[~hidden], few[~hidden], check_dtype=False)
    assert withheld_slopes(few, 0) is few
    assert withheld_slopes(None, 10) is None
