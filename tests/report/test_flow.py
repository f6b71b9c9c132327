"""The diagram of the patients and the checklist."""

from __future__ import annotations

import pandas as pd

from fairrecon_jax.report.checklist import AUTHORS, items
from fairrecon_jax.report.flow import MOST_REASONS, flow
from tests.support import report_fake as fake
from tests.support.report_findings import findings_of_rows

TABLE = pd.DataFrame(
    {
        "patient_id": [f"p{i // 2}" for i in range(60)],
        "split": ["train"] * 36 + ["val"] * 4 + ["test"] * 20,
    }
)


def same(text: str) -> str:
    return text


def study():
    row = {"task": "grade", "metric": "auroc", "version": "change", "value": -0.1, "n": 20}
    return findings_of_rows([{**row, "n_pos": 12, "unit": "patient", "level": 8.0}])


def test_the_boxes_count_patients_images_and_reasons():
    recorded = {"exclusions": {"no mask": 12, "unreadable": 3}}
    boxes = flow(study(), TABLE, recorded, 0, same)
    assert boxes.used == "30 patients, 60 slices"
    assert boxes.left_out == (("no mask", "12"), ("unreadable", "3"))
    assert boxes.parts == (
        ("train", "18 patients, 36 slices"),
        ("validation", "2 patients, 4 slices"),
        ("test", "10 patients, 20 slices"),
    )
    assert boxes.evaluated == (("WHO grade IV", "20 patients", "12 have it"),)


def test_small_counts_are_withheld():
    boxes = flow(study(), TABLE, {"exclusions": {"unreadable": 3}}, 10, same)
    assert boxes.left_out == (("unreadable", "< 10"),)
    assert dict(boxes.parts)["validation"] == "< 10 patients"


def test_rare_reasons_stand_together_and_names_are_hidden():
    recorded = {"exclusions": {f"reason {i}": 20 - i for i in range(9)}}
    boxes = flow(study(), TABLE, recorded, 0, lambda text: text.replace("reason", "cause"))
    assert len(boxes.left_out) == MOST_REASONS + 1
    assert boxes.left_out[0] == ("cause 0", "20")
    assert boxes.left_out[-1] == ("3 other reasons", str(14 + 13 + 12))


def test_without_a_cohort_there_is_no_diagram():
    assert flow(study(), pd.DataFrame(), {}, 0, same) is None


def test_the_checklist_answers_what_is_known_and_leaves_the_rest_to_the_authors():
    found = dict(items(study(), TABLE, {"split_hash": "ab" * 20, "seeds": {"study": 3}}))
    assert found["Parts of the data, how they are disjoint"].startswith("by patient")
    assert "3" in found["Initialisation"]
    assert found["Ethics; patients involved"] == AUTHORS
    assert found["Fairness: which groups"] == "sex, age and race" or found[
        "Fairness: which groups"
    ].startswith(fake.mri_spec().attributes[0].name)
    assert len(found) > 25
