"""Which weight is kept: the rule on made-up validation numbers."""

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.mitigation.selection import select, summarise


def numbers(**candidates) -> pd.DataFrame:
    rows = []
    for name, (eodd, ser, psnr, auroc) in candidates.items():
        actual = [
            ("eodd", "a", "sex", eodd),
            ("ser", "b", "sex", ser),
            ("psnr", "", "", psnr),
            ("auroc", "a", "", auroc),
        ]
        rows += [
            {"mitigation": name, "metric": m, "task": t, "attribute": a, "value": v}
            for m, t, a, v in actual
        ]
    return pd.DataFrame(rows)


BASE = {"none": (0.2, 1.4, 30.0, 0.9)}


def test_the_smallest_admissible_gap_wins():
    table = numbers(
        **BASE,
        mild=(0.15, 1.3, 29.9, 0.9),
        strong=(0.1, 1.2, 29.5, 0.89),
        ruinous=(0.0, 1.0, 20.0, 0.9),
        blind=(0.0, 1.0, 30, 0.5),
    )
    choice = select(table, psnr_tolerance=1.0, task_tolerance=0.02)
    assert choice.mitigation == "strong"
    assert "0.150; unmitigated 0.300" in choice.reason
    assert {c["mitigation"]: c["admissible"] for c in choice.candidates} == {
        "none": False,
        "mild": True,
        "strong": True,
        "ruinous": False,
        "blind": False,
    }
    assert select(table, psnr_tolerance=0.2, task_tolerance=0.02).mitigation == "mild"


def test_the_unmitigated_model_is_the_last_resort_and_says_so():
    worse = numbers(**BASE, worse=(0.3, 1.5, 30.0, 0.9))
    assert select(worse, 1.0, 0.02).mitigation == "worse"
    choice = select(numbers(**BASE, ruinous=(0.0, 1.0, 20.0, 0.9)), 1.0, 0.02)
    assert choice.mitigation == "none"
    assert "the unmitigated model, which stays" in choice.reason


def test_a_gap_that_one_candidate_lacks_leaves_the_mean_of_all():
    table = summarise(numbers(**BASE, other=(float("nan"), 1.2, 30.0, 0.9)))
    assert table.loc["none", "gap"] == pytest.approx(0.4)
    assert table.loc["other", "gap"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "broken", [(0.0, 1.0, np.nan, 0.9), (0.0, 1.0, 30.0, np.nan), (np.nan, np.nan, np.nan, np.nan)]
)
def test_a_candidate_without_a_number_is_ruled_out_and_the_others_are_judged_by_theirs(broken):
    table = numbers(
        **BASE,
        ruinous=(0.1, 1.2, 20.0, 0.9),
        blind=(0.1, 1.2, 30.0, 0.5),
        mild=(0.15, 1.3, 29.9, 0.9),
        broken=broken,
    )
    choice = select(table, 1.0, 0.02)
    assert choice.mitigation == "mild"
    assert "of 1 of 4 weights" in choice.reason
    assert "PSNR or task score of broken is undefined, which rules it out" in choice.reason
    assert select(numbers(**BASE, broken=broken), 1.0, 0.02).mitigation == "none"


def test_a_number_that_the_unmitigated_model_lacks_too_is_no_reason():
    lacking = {"none": (0.2, 1.4, 30.0, np.nan)}
    assert select(numbers(**lacking, mild=(0.1, 1.2, 29.9, np.nan)), 1.0, 0.02).mitigation == "mild"


def test_without_a_reference_or_a_candidate_nothing_is_chosen():
    for table in (numbers(**BASE), numbers(other=BASE["none"], another=BASE["none"])):
        with pytest.raises(ValueError, match="needs the unmitigated model and a candidate"):
            select(table, 1.0, 0.02)
