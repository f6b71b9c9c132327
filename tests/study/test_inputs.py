"""What each stage declares that its result depends on: the fields of a study that change the
digests of its stages, and those that change none.

A stage that is made from another one is stale too where that one comes out otherwise; this is seen
in its record and no part of its own digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from tests.support import tiny_study
from tests.support.study_fakes import configured, phantom_brain


def tiny(**fields: Any) -> ConfigDict:
    """The tiny study with two mitigations, one of them at two weights."""
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    config.mitigations.again = mitigation("reweighting", 2, 8, 1e-3, outcome="tumor")
    return configured(config, **fields)


def digests(config: ConfigDict) -> dict[str, str]:
    """By title, the digest of each stage's declared inputs."""
    return {stage.title: stage.digest for stage in plan(Context(config, "nowhere"))}


def changed(make: Callable[..., ConfigDict], **fields: Any) -> set[str]:
    """Titles of the stages whose digest a change alters, and of those that come or go."""
    return {title for title, _ in digests(make(**fields)).items() ^ digests(make()).items()}


TRAINED = {"train tumor", "train unet at 8"}
TUNED = {f"mitigate unet with {one} at 8" for one in ("again", "eodd@0.1", "eodd@1")}
PLAIN = {"predict identity at 8", "predict unet at 8"}
MITIGATED = {f"predict unet with {one} at 8" for one in ("again", "eodd@0.1", "eodd@1")}
PREDICTED = PLAIN | MITIGATED
CHOSEN = "choose unet with eodd at 8"
EVERY = {"phantom", "cohort", *TRAINED, *TUNED, *PREDICTED, CHOSEN, "assess", "report"}


def test_the_stages_of_the_study_that_is_changed():
    assert set(digests(tiny())) == EVERY


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("seed", 1, PREDICTED),
        # the phantom, the cohort, its labels and its groups
        ("phantom__patients", 25, {"phantom"}),
        ("cohort__image_size", 48, EVERY - {"phantom", CHOSEN, "assess"}),
        ("cohort__source", "other", EVERY - {"phantom", CHOSEN, "assess"}),
        ("cohort__uncertainty", "ones", {"train tumor"} | TUNED | PREDICTED),
        # the mitigations are about all attributes; no prediction knows of groups
        ("cohort__age_cut", 40.0, TUNED | {CHOSEN, "assess"}),
        ("cohort__age_cut_side", "under", TUNED | {CHOSEN, "assess"}),
        ("cohort__race", "pooled", TUNED | {CHOSEN, "assess"}),
        ("cohort__mask_values", (1, 2), EVERY - {"phantom", CHOSEN, "assess"}),
        ("cohort__evaluate_slices", (2, 5), PREDICTED),
        ("splits__seed", 1, {"cohort"}),
        ("tandem__image_metrics", ("psnr",), PREDICTED),
        # the degradation
        ("degradation__magnitude", "real", {"train unet at 8"} | TUNED | PREDICTED),
        (
            "degradation__levels",
            (8.0, 16.0),
            {"predict identity at 16", "train unet at 16", "predict unet at 16", "assess"},
        ),
        # the models
        (
            "reconstructors__unet__width",
            6,
            {"train unet at 8", "predict unet at 8"} | TUNED | MITIGATED,
        ),
        ("reconstructors__unet__train__seed", 3, {"train unet at 8"}),
        ("reconstructors__unet__train__eval_every", 2, {"train unet at 8"}),
        ("reconstructors__unet__augment", ConfigDict({"flip": True}), {"train unet at 8"} | TUNED),
        ("diagnosers__tumor__train__steps", 3, {"train tumor"}),
        ("diagnosers__tumor__width", 6, {"train tumor"} | PREDICTED),
        # the mitigations
        ("mitigations__eodd__psnr_tolerance", 0.5, {CHOSEN}),
        (
            "mitigations__eodd__temperature",
            0.5,
            {f"mitigate unet with eodd@{weight} at 8" for weight in ("0.1", "1")},
        ),
        (
            "mitigations__eodd__train__steps",
            9,
            {f"mitigate unet with eodd@{weight} at 8" for weight in ("0.1", "1")},
        ),
        ("mitigations__again__fraction", 0.7, {"mitigate unet with again at 8"}),
        (
            "mitigations__eodd__weights",
            (0.1, 2.0),
            {
                f"{verb} unet with eodd@{weight} at 8"
                for verb in ("mitigate", "predict")
                for weight in ("1", "2")
            },
        ),
        # what follows
        ("assess__permutations", 39, {CHOSEN, "assess"}),
        ("assess__seed", 1, {CHOSEN, "assess"}),
        ("assess__continuous", ("age_years",), {CHOSEN, "assess"}),
        ("report__identifiers", True, set()),
        ("report__examples", 2, set()),
    ],
)
def test_a_field_changes_what_depends_on_it_and_the_report_which_prints_it(field, value, expected):
    assert changed(tiny, **{field: value}) == {*expected, "report"}


def test_the_headline_level_is_of_the_tables_and_of_the_report():
    def two(**fields: Any) -> ConfigDict:
        return configured(degradation__levels=(4.0, 8.0), **fields)

    assert changed(two, degradation__headline_level=4.0) == {"assess", "report"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tandem__batch_size", 8),
        ("reconstructors__unet__train__workers", 3),
        ("reconstructors__unet__train__checkpoint_every", 1),
        ("diagnosers__tumor__train__log_every", 1),
        ("mitigations__eodd__train__keep", 4),
    ],
)
def test_what_changes_no_number_makes_nothing_stale(field, value):
    assert changed(tiny, **{field: value}) == set()


def test_where_a_tree_lies_makes_nothing_stale():
    here, there = (digests(tiny(cohort__root=root)) for root in ("here", "there"))
    assert here == there


def test_implied_choices_are_the_same_written_out():
    """The default of `selection`, `selection_mode` and `eval_every` is not another choice."""
    fields = {"selection": None, "selection_mode": None, "eval_every": 1}
    assert changed(
        tiny, **{f"reconstructors__unet__train__{name}": value for name, value in fields.items()}
    ) == {"report"}


# -- levels of their own, and weights of another


def brains(**fields: Any) -> ConfigDict:
    """Two levels, and a reconstructor with the weights of another."""
    config = phantom_brain(
        degradation__levels=(4.0, 8.0),
        reconstructors__fast=ConfigDict({"weights_of": "irsde", "preset": "ode2_5"}),
        reconstructors__irsde__levels=(8.0,),
    )
    return configured(config, **fields)


def test_more_levels_leave_what_is_trained_as_it_is():
    assert changed(brains, reconstructors__irsde__levels=(4.0, 8.0)) == {
        "train irsde at 4",
        "predict irsde at 4",
        "predict fast at 4",
        "report",
    }


def test_one_with_the_weights_of_another_is_not_trained_and_changes_by_itself():
    assert not any(title.startswith("train fast") for title in digests(brains()))
    assert changed(brains, reconstructors__fast__samples=2) == {"predict fast at 8", "report"}
    assert changed(brains, reconstructors__irsde__train__steps=70) == {"train irsde at 8", "report"}
    assert changed(brains, reconstructors__irsde__width=8) == {
        "train irsde at 8",
        "predict irsde at 8",
        "predict fast at 8",
        "report",
    }


def order(config: ConfigDict, *titles: str) -> Sequence[int]:
    """The places of stages in the order in which they are made."""
    return [list(digests(config)).index(title) for title in titles]


def test_stages_stand_after_those_they_are_made_from():
    for titles in (
        ("phantom", "cohort", "train tumor", "predict identity at 8"),
        ("train unet at 8", "predict unet at 8", "mitigate unet with eodd@1 at 8"),
        ("mitigate unet with eodd@1 at 8", "predict unet with eodd@1 at 8", CHOSEN),
        (CHOSEN, "assess", "report"),
    ):
        assert order(tiny(), *titles) == sorted(order(tiny(), *titles))
    fast = order(brains(), "train irsde at 8", "predict irsde at 8", "predict fast at 8")
    assert fast == sorted(fast)
