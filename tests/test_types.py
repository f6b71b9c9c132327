import pytest

from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, Cell, CohortSpec, Task, level_name, plural


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
    assert describe("xray_low_dose", (1e4,), 1e4).unit == "photon count"


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


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (8, "8"),
        (8.0, "8"),
        (1e5, "100000"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (1e-5, "1e-05"),
        (12345678.5, "12345678.5"),
    ],
)
def test_a_level_as_it_stands_in_names(level, name):
    assert level_name(level) == name


@pytest.mark.parametrize(
    ("cell", "variant", "title", "stem"),
    [
        (Cell("unet", 8.0), "none", "unet at 8", "unet__8"),
        (Cell("unet", 1e5, seed=3), "none", "unet at 100000", "unet__100000"),
        (Cell("unet", 8.0, "eodd"), "eodd", "unet with eodd at 8", "unet__8__eodd"),
        (
            Cell("unet", 8.0, "eodd", 0.1),
            "eodd@0.1",
            "unet with eodd@0.1 at 8",
            "unet__8__eodd@0.1",
        ),
        (
            Cell("unet", 0.5, "eodd", 10.0),
            "eodd@10",
            "unet with eodd@10 at 0.5",
            "unet__0.5__eodd@10",
        ),
    ],
)
def test_a_cell_in_tables_in_words_and_as_a_file(cell, variant, title, stem):
    assert (cell.variant, cell.title, cell.stem) == (variant, title, stem)
    assert cell.is_mitigated is (variant != "none")


def test_one_of_a_thing_is_told_in_the_singular():
    assert plural(1, "patient", "have") == "1 patient has"
    assert plural(1, "patient") == "1 patient"
    assert plural(0, "study", "are") == "0 studies are"
    assert plural(1200, "image", "lie") == "1,200 images lie"
