"""What a mitigation acts on: frozen diagnosers, groups and contexts; and what is refused."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from fairrecon_jax.mitigation import (
    Adversarial,
    EqualisedOdds,
    GroupDro,
    Mitigation,
    MitigationContext,
    Reweighting,
    make_mitigation,
    register,
)
from fairrecon_jax.mitigation.interface import check_choice, check_positive
from fairrecon_jax.mitigation.readout import Groups, Readings, Readout
from fairrecon_jax.types import Attribute, CohortSpec
from tests.support.mitigation_fakes import (
    SPEC,
    batch,
    context,
)

BATCH = batch(32)
KEY = jax.random.key(0)


def test_task_losses_are_scikit_learns_and_stay_finite():
    scores = np.array([[0.9, 0.0], [0.2, 1.0], [0.6, 0.5]], np.float32)
    labels = np.array([[1, 1], [0, 0], [1, 0]], np.float32)
    one = np.ones((3, 1), np.float32)
    losses, known = Readings(
        jnp.array(scores),
        jnp.array(labels),
        jnp.ones((3, 2)),
        0.25 * jnp.array(one),
        jnp.array(one),
    ).task_losses()
    assert losses.shape == known.shape == (3, 3)
    assert float(jnp.mean(losses[:, 0])) == pytest.approx(
        log_loss(labels[:, 0], scores[:, 0].astype(float)), rel=1e-5
    )
    np.testing.assert_allclose(losses[:2, 1], -np.log(1e-7), rtol=0.02)
    np.testing.assert_allclose(losses[:, 2], 0.75)


def test_a_second_coding_of_race_is_no_attribute_more():
    names = ("sex", "race", "race_pooled")
    spec = dataclasses.replace(SPEC, attributes=tuple(Attribute(n, ("a", "b")) for n in names))
    whole = MitigationContext(spec)
    assert [a.name for a in whole.attributes(())] == ["sex", "race"]
    assert [a.name for a in whole.attributes(["race_pooled"])] == ["race_pooled"]
    # without the first coding it is an attribute of its own
    alone = MitigationContext(dataclasses.replace(spec, attributes=spec.attributes[2:]))
    assert [a.name for a in alone.attributes(())] == ["race_pooled"]


def test_a_readout_holds_the_chosen_tasks_in_order():
    whole = {name: jnp.asarray(value) for name, value in BATCH.items()}
    both = Readout(context("outline", "bright"))
    assert [t.name for t in both.tasks] == ["oedema", "effusion", "tumour"]
    assert (both.count("classification"), both.count("segmentation")) == (2, 1)
    terms = both(both.frozen(), whole["image"], whole)
    assert (terms.scores.shape, terms.dice.shape) == ((32, 2), (32, 1))
    np.testing.assert_array_equal(terms.known, ~np.isnan(BATCH["labels"]))
    np.testing.assert_array_equal(terms.present[:, 0], BATCH["mask"].any((1, 2, 3)))
    one = Readout(context("outline", "bright"), ("effusion",))
    alone = one(one.frozen(), whole["image"], whole)
    np.testing.assert_array_equal(alone.scores[:, 0], terms.scores[:, 1])
    assert alone.dice.shape == (32, 0)


def test_groups_stand_side_by_side():
    groups = Groups(context("bright"))
    assert (groups.sizes, groups.slices, groups.total) == ((2, 3), (slice(0, 2), slice(2, 5)), 5)
    members = np.asarray(
        Groups(context(), ("race",)).members({"attributes": np.array([[0, 2], [1, -1], [-1, 0]])})
    )
    np.testing.assert_array_equal(members, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


def test_what_a_context_refuses():
    nothing = CohortSpec("bare", "Bare", "xray", SPEC.tasks, (), SPEC.degradation)
    with pytest.raises(
        ValueError, match="a mitigation needs attributes of cohort 'bare'; these are: none"
    ):
        MitigationContext(nothing).attributes(())
    with pytest.raises(ValueError, match="no frozen diagnoser has any task; their tasks are: none"):
        MitigationContext(SPEC).tasks(())
    with pytest.raises(
        ValueError, match="no frozen diagnoser has 'bone'; their tasks are: effusion, oedema"
    ):
        context("bright").tasks(("bone", "oedema"))
    with pytest.raises(
        ValueError, match="task 'oedema' is read by the diagnosers Bright and Bright"
    ):
        context("bright", "outline", "bright")
    assert [a.name for a in MitigationContext(SPEC).attributes(("race", "sex"))] == ["sex", "race"]
    assert [t.name for t in context("bright", "outline").tasks(())] == [
        "tumour",
        "oedema",
        "effusion",
    ]
    assert [MitigationContext(SPEC).column(a) for a in SPEC.attributes] == [0, 1]


def test_a_mitigation_does_one_thing():
    assert (
        Mitigation().sampling(MitigationContext(SPEC), np.zeros((2, 2)), np.zeros((2, 3))) is None
    )
    assert Mitigation().objective(MitigationContext(SPEC)) is None
    assert Reweighting().objective(context("bright")) is None
    for options in (EqualisedOdds(), GroupDro(), Adversarial()):
        assert (
            options.sampling(MitigationContext(SPEC), BATCH["attributes"], np.zeros((32, 3)))
            is None
        )


def test_the_registry_and_its_checks_name_what_is_wrong():
    with pytest.raises(
        ValueError, match="unknown mitigation 'prayer'; choose one of adversarial, equalised_odds"
    ):
        make_mitigation("prayer")
    with pytest.raises(ValueError, match="mitigation 'group_dro' is already GroupDro"):
        register("group_dro")(type("Other", (Mitigation,), {}))
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=f"mitigation 'k': rate must be a positive number, got {value}"
        ):
            check_positive("k", rate=value)
    with pytest.raises(ValueError, match="mitigation 'k': how must be one of a, b, got 'c'"):
        check_choice("k", "how", "c", ("a", "b"))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("adversarial", {"loss": "hinge"}, "loss must be one of|'loss' takes"),
        ("adversarial", {"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ("adversarial", {"hidden": 0}, "hidden must be a positive number, got 0"),
        ("equalised_odds", {"ratio": "root"}, "ratio must be one of|'ratio' takes"),
        (
            "equalised_odds",
            {"threshold_rate": 0.0},
            r"threshold_rate must lie in \(0, 1\], task_weight and warmup must not be negative",
        ),
        ("equalised_odds", {"task_weight": -1.0}, "task_weight and warmup must not be negative"),
        ("equalised_odds", {"min_count": -0.5}, "min_count must be at least 0"),
        ("group_dro", {"reconstruction": 0.0, "task": 0.0}, "one of the losses must count"),
        ("group_dro", {"weight": float("inf")}, "weight must be a positive number, got inf"),
    ],
)
def test_a_refused_field_is_named(kind, fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_mitigation(kind, **fields)
