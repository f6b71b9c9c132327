"""The choices of a cohort: what is stored under which name, and what is refused."""

import pytest

from fairrecon_jax.data import CohortConfig


def test_stored_name_depends_on_what_is_stored_only():
    base = CohortConfig("lgg_mri", image_size=64)
    assert base.stored_name == "64px"
    assert (
        CohortConfig(
            "lgg_mri", image_size=64, uncertainty="ones", race="pooled", age_cut=50.0
        ).stored_name
        == "64px"
    )
    full = CohortConfig(
        "chexpert", 64, ["lateral", "frontal"], (3, 9), patients=5, source="phantom"
    )
    assert full.stored_name == "64px-frontal_lateral-slices_3_9-patients_5-phantom"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 4}, "image_size must lie in 8..4096"),
        ({"views": ("oblique",)}, "views must be some of"),
        ({"views": ()}, "views must be some of"),
        ({"uncertainty": "guess"}, "uncertainty must be one of"),
        ({"race": "five"}, "race must be one of"),
        ({"age_cut": "median"}, "age_cut must be a number of years"),
        ({"age_cut": (60, 40)}, "several of them ascending"),
        ({"age_cut": (40, 40)}, "several of them ascending"),
        ({"age_cut": ()}, "several of them ascending"),
        ({"age_cut_side": "left"}, "age_cut_side must be one of"),
        ({"mask_values": (1, 1)}, "mask_values must be different values above 0"),
        ({"mask_values": (0, 2)}, "mask_values must be different values above 0"),
        ({"patients": -1}, "patients must be 0"),
        ({"source": "../x"}, "source must be one word"),
        ({"slices": "some"}, "slices must be one of"),
        ({"slices": (5, 2)}, "slices must be"),
        ({"evaluate_slices": (1, 2, 3)}, "evaluate_slices must be"),
    ],
)
def test_configuration_refuses_nonsense(fields, message):
    with pytest.raises(ValueError, match=message):
        CohortConfig("lgg_mri", **fields)


def test_configuration_from_a_plain_dictionary():
    config = CohortConfig(
        **{
            "name": "chexpert",
            "views": ["frontal"],
            "tasks": ["edema"],
            "evaluate_slices": [0.2, 0.8],
        }
    )
    assert config == CohortConfig(
        "chexpert", views=("frontal",), tasks=("edema",), evaluate_slices=(0.2, 0.8)
    )
    assert hash(config)
    with pytest.raises(TypeError, match="imagesize"):
        CohortConfig(**{"name": "chexpert", "imagesize": 3})
