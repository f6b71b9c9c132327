import dataclasses

import pytest

from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, Task


@pytest.fixture
def spec() -> CohortSpec:
    return CohortSpec(
        "toy",
        "Toy cohort",
        "mri",
        (
            Task("grade", "classification", "median"),
            Task("tumor", "segmentation", "mean"),
            Task("type", "classification"),
        ),
        (
            Attribute("sex", ("Female", "Male")),
            Attribute("age", ("young", "old"), per="image", reference="old"),
        ),
        describe("mri_radial", (4.0, 8.0), 8.0),
    )


def test_a_specification_survives_json(spec):
    assert CohortSpec.from_json(spec.to_json()) == spec


def test_columns_follow_the_order_of_the_tasks(spec):
    assert [task.name for task in spec.classification_tasks] == ["grade", "type"]
    assert [task.name for task in spec.segmentation_tasks] == ["tumor"]


def test_reference_group_is_the_first_unless_named(spec):
    assert [attribute.reference_group for attribute in spec.attributes] == ["Female", "old"]


def test_units_name_the_physics(spec):
    assert spec.degradation.unit == "acceleration factor"
    assert dataclasses.replace(spec.degradation, kind="xray_low_dose").unit == "photon count"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x"}',
        '{"name": "x", "tasks": [], "attributes": [], "degradation": {}, "colour": 1}',
    ],
)
def test_json_that_is_no_specification_is_refused(text):
    with pytest.raises(ValueError, match="not a cohort specification"):
        CohortSpec.from_json(text)
