"""Diagnosers: the factory, masked losses, Dice rules, gradients and augmentation."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from fairrecon_jax.diagnosers import (
    DIAGNOSERS,
    Classifier,
    Diagnoser,
    Segmenter,
    inverse_prevalence,
    make_diagnoser,
    masked_cross_entropy,
    pooled_soft_dice,
    soft_dice,
)
from fairrecon_jax.metrics import dice
from fairrecon_jax.models.resnet import STAGES
from fairrecon_jax.physics import describe
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import Attribute, CohortSpec, Task

KEY = jax.random.key(0)
SPEC = CohortSpec(
    "small",
    "Small",
    "mri",
    (
        Task("grade", "classification"),
        Task("tumour", "segmentation"),
        Task("type", "classification"),
        Task("oedema", "segmentation"),
    ),
    (Attribute("sex", ("female", "male")),),
    describe("mri_radial", (4.0,), 4.0),
)
LABELS = np.array([[0, 1], [1, np.nan], [np.nan, np.nan], [1, 0]], np.float32)


def make_batch(size: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = np.zeros((4, size, size, 2), np.float32)
    mask[0, 2:5, 2:5, 0] = mask[1, 1:7, 1:3, 1] = mask[3, :2, :2] = 1
    return {
        "image": random.random((4, size, size, 1), np.float32),
        "mask": mask,
        "labels": LABELS,
        "example_id": random.integers(0, 2**32, (4, 2), dtype=np.uint32),
        "weight": np.array([1, 2, 1, 0], np.float32),
    }


def small_classifier(**fields) -> Diagnoser:
    return make_diagnoser(
        "classifier",
        SPEC,
        ("grade", "type"),
        **{"backbone": "resnet18", "width": 4, "bn_axis": None} | fields,
    )


def small_segmenter(**fields) -> Diagnoser:
    return make_diagnoser(
        "segmenter", SPEC, ("tumour",), **{"width": 4, "depth": 1, "bn_axis": None} | fields
    )


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
    """One block per stage: a quarter of the compilation."""
    monkeypatch.setitem(STAGES, 18, (1, 1, 1, 1))


def head(diagnoser: Diagnoser, variables, batch):
    """The loss, the metrics and the predictions, compiled as one program."""

    @jax.jit
    def run(variables, batch):
        loss, output = diagnoser.loss(variables, batch, KEY, False)
        assert output.clean is None
        return (
            loss,
            diagnoser.evaluate(variables, batch, KEY),
            diagnoser.predict(variables, batch["image"]),
        )

    return run(variables, batch)


def test_factory_finds_columns_by_name():
    assert set(DIAGNOSERS) == {"callable", "callable_segmenter", "classifier", "segmenter"}
    assert make_diagnoser("classifier", SPEC, ("type", "grade"), hidden=[8]) == Classifier(
        ("type", "grade"), (1, 0), hidden=(8,)
    )
    assert make_diagnoser("segmenter", SPEC, ["oedema"]) == Segmenter(("oedema",), (1,))
    for diagnoser in (small_classifier(), small_segmenter()):
        assert isinstance(diagnoser, Diagnoser)
        assert isinstance(diagnoser, Trainable)
        assert hash(diagnoser)
    assert (small_classifier().kind, small_segmenter().kind) == ("classification", "segmentation")


@pytest.mark.parametrize(
    ("kind", "tasks", "fields", "message"),
    [
        (
            "grader",
            ("grade",),
            {},
            "unknown diagnoser 'grader'; choose one of callable, callable_segmenter, "
            "classifier, segmenter",
        ),
        (
            "classifier",
            ("tumour",),
            {},
            "'tumour' is not a classification task of cohort 'small'; these are: grade, type",
        ),
        (
            "segmenter",
            (),
            {},
            "no task at all is not a segmentation task of cohort 'small'; these are: "
            "tumour, oedema",
        ),
        (
            "classifier",
            ("grade",),
            {"size": 3},
            "has no field 'size'; its fields are tasks, columns, backbone",
        ),
        ("classifier", ("grade",), {"columns": (1,)}, "columns follow from the specification"),
        (
            "classifier",
            ("grade",),
            {"backbone": "vgg"},
            "unknown backbone 'vgg'; choose one of resnet18",
        ),
        (
            "classifier",
            ("grade",),
            {"positive_weight": (1.0, 2.0)},
            "positive_weight has 2 values for 1 tasks",
        ),
        (
            "classifier",
            ("grade",),
            {"task_weight": (-1.0,)},
            "task_weight takes numbers of at least 0",
        ),
        ("segmenter", ("tumour",), {"norm": "instance"}, "norm of backbone 'unet' is"),
        (
            "segmenter",
            ("tumour",),
            {"norm": None, "backbone": "residual_unet"},
            "norm of backbone 'residual_unet' is 'instance' or 'batch', got None",
        ),
    ],
)
def test_factory_refuses_what_it_does_not_know(kind, tasks, fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_diagnoser(kind, SPEC, tasks, **fields)


@pytest.mark.parametrize(
    ("positive_weight", "task_weight"), [((), ()), ((3.0, 0.5), ()), ((3.0, 0.5), (0.2, 1.5))]
)
def test_cross_entropy_agrees_with_scikit_learn(positive_weight, task_weight):
    """scikit-learn's sum of losses over the known labels, its positive examples weighted."""
    logits = np.random.default_rng(1).normal(size=LABELS.shape).astype(np.float32)
    loss, count = masked_cross_entropy(logits, LABELS, positive_weight, task_weight)
    np.testing.assert_array_equal(count, [2, 1, 0, 2])
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = 0.0
    for task in range(2):
        known = ~np.isnan(LABELS[:, task])
        y = LABELS[known, task]
        weights = np.where(y == 1, (positive_weight or (1.0, 1.0))[task], 1.0)
        weights = weights * (task_weight or (1.0, 1.0))[task]
        expected += (
            log_loss(y, probability[known, task], sample_weight=weights, labels=[0, 1])
            * weights.sum()
        )
    assert float(jnp.sum(loss * count)) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_finite_for_huge_logits_and_unknown_labels():
    logits = jnp.array([[1e4, -1e4], [1e4, -1e4]])
    labels = jnp.array([[0.0, 1.0], [jnp.nan, jnp.nan]])
    value, gradient = jax.value_and_grad(lambda z: jnp.sum(masked_cross_entropy(z, labels)[0]))(
        logits
    )
    assert float(value) == pytest.approx(1e4)
    assert jnp.isfinite(gradient).all()
    assert not gradient[1].any()


def test_classifier_gradients_are_finite_whatever_is_unknown():
    batch, classifier = make_batch(), small_classifier(shift=0.2, gain=0.2)
    variables = classifier.init(KEY, batch)

    @jax.jit
    def run(params, batch):
        return jax.value_and_grad(
            lambda p: classifier.loss({**variables, "params": p}, batch, KEY, True), has_aux=True
        )(params)

    for labels in (LABELS, np.full_like(LABELS, np.nan)):
        (loss, output), gradient = run(variables["params"], batch | {"labels": labels})
        leaves = jax.tree.leaves(gradient)
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        assert any(np.any(leaf) for leaf in leaves) == (not np.isnan(labels).all())
        assert (float(loss) == 0) == bool(np.isnan(labels).all())
        assert output.clean is None
        assert jax.tree.structure(output.statistics) == jax.tree.structure(variables["batch_stats"])


def test_classifier_evaluation_sums_to_its_loss():
    """Known labels weigh equally, padding nothing; scores are the sigmoid of the logits, task by
    task.
    """
    batch, classifier = make_batch(), small_classifier()
    variables = classifier.init(KEY, batch)
    loss, metrics, scores = head(classifier, variables, batch)
    value, weight = metrics["loss"]
    np.testing.assert_array_equal(weight, [2, 2, 0, 0])
    assert float((value * weight).sum() / weight.sum()) == pytest.approx(float(loss), rel=1e-5)
    scores = np.asarray(scores, np.float64)
    assert scores.shape == (4, 2)
    known = [(0, 0, 1), (0, 1, 1), (1, 0, 2)]
    terms = [-w * np.log(scores[i, t] if LABELS[i, t] else 1 - scores[i, t]) for i, t, w in known]
    assert float(loss) == pytest.approx(sum(terms) / 4, rel=1e-4)


@pytest.mark.parametrize("task_weight", [(), (0.2, 1.5)])
def test_the_loss_of_tasks_is_that_of_a_loop_over_them(task_weight):
    """As TorchXRayVision trains: PyTorch's mean over the known labels of each task, then a sum."""
    torch = pytest.importorskip("torch")
    batch = make_batch() | {"weight": np.ones(4, np.float32)}
    classifier = small_classifier(loss_mean="tasks", task_weight=task_weight)
    variables = classifier.init(KEY, batch)
    loss, _, scores = head(classifier, variables, batch)
    scores, wanted = np.asarray(scores, np.float64), 0.0
    for task, factor in enumerate(task_weight or (1.0, 1.0)):
        known = ~np.isnan(LABELS[:, task])
        logits = np.log(scores[known, task] / (1 - scores[known, task]))
        pair = (torch.tensor(logits), torch.tensor(LABELS[known, task].astype(float)))
        wanted += factor * float(torch.nn.BCEWithLogitsLoss()(*pair))
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    # three and two labels: a mean over all of them is another number
    plain = dataclasses.replace(classifier, loss_mean="labels")
    assert float(head(plain, variables, batch)[0]) != pytest.approx(wanted / 2, rel=1e-3)


@pytest.mark.parametrize("loss_mean", ["labels", "tasks"])
def test_the_loss_of_a_step_does_not_depend_on_the_number_of_devices(loss_mean):
    batch, one = make_batch(), small_classifier(loss_mean=loss_mean)
    two = dataclasses.replace(one, bn_axis="batch")
    variables = one.init(KEY, batch)
    parts = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), batch)

    @jax.jit
    def both(variables):
        shares = jax.vmap(lambda part: two.loss(variables, part, KEY, True)[0], axis_name="batch")
        return one.loss(variables, batch, KEY, True)[0], jnp.mean(shares(parts))

    whole, mean = map(float, both(variables))
    assert mean == pytest.approx(whole, rel=1e-5)


def test_a_mean_of_something_else_is_refused():
    with pytest.raises(ValueError, match="loss_mean is 'labels' or 'tasks', got 'images'"):
        Classifier(("grade",), (0,), loss_mean="images")


def test_classifier_reads_its_own_columns():
    batch = make_batch()
    one = make_diagnoser("classifier", SPEC, ("type",), backbone="resnet18", width=4)
    changed = batch | {"labels": np.where(np.arange(2) == 0, 1 - LABELS, LABELS)}
    variables = one.init(KEY, batch)
    run = jax.jit(one.evaluate)
    np.testing.assert_array_equal(
        run(variables, batch, KEY)["loss"][0], run(variables, changed, KEY)["loss"][0]
    )
    np.testing.assert_array_equal(run(variables, batch, KEY)["loss"][1], [1, 0, 0, 0])


def test_images_are_resized_and_rescaled():
    classifier = small_classifier(input_size=16, input_low=-1024.0, input_high=1024.0)
    prepared = classifier.preprocessing(jnp.full((2, 8, 8, 1), 0.75))
    assert prepared.shape == (2, 16, 16, 1)
    np.testing.assert_allclose(prepared, 512.0, rtol=1e-6)
    assert small_classifier().preprocessing(jnp.ones((2, 8, 8, 1))).shape == (2, 8, 8, 1)


def test_a_densenet_classifies_too():
    classifier = small_classifier(backbone="densenet121", width=8)
    shapes = jax.eval_shape(lambda: classifier.init(KEY, make_batch(32)))
    assert shapes["params"]["classifier"]["conv0"]["kernel"].shape == (7, 7, 1, 8)


def test_an_image_that_a_densenet_leaves_nothing_of_is_refused():
    classifier = small_classifier(backbone="densenet121", width=8)
    message = (
        "images of 28x28 pixels are too small for a DenseNet: it needs 29; choose a larger "
        "input_size"
    )
    with pytest.raises(ValueError, match=message):
        classifier.check(28)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: classifier.init(KEY, make_batch(28)))
    classifier.check(29)
    small_classifier(backbone="densenet121", input_size=29).check(8)
    small_classifier().check(8)
    assert jax.eval_shape(lambda: classifier.network.init(KEY, jnp.zeros((1, 29, 29, 1))))


def test_inverse_prevalence():
    assert inverse_prevalence(
        np.array([[1, 0, np.nan], [0, 0, np.nan], [0, 0, 1], [np.nan, 0, 0]])
    ) == (2.0, 1.0, 1.0)


def test_dice_of_masks_and_its_empty_rules():
    """F1 of the pixels where a mask is; 0 if one side is empty, NaN if both are."""
    random = np.random.default_rng(0)
    predicted, truth = random.random((4, 6, 6, 1)) > 0.4, random.random((4, 6, 6, 1)) > 0.6
    predicted[1] = truth[2] = predicted[3] = truth[3] = False
    actual = np.asarray(dice(predicted, truth)).ravel()
    assert actual[0] == pytest.approx(f1_score(truth[0].ravel(), predicted[0].ravel()), rel=1e-6)
    assert actual[1] == actual[2] == 0
    assert np.isnan(actual[3])


def test_soft_dice_of_certain_masks_is_dice():
    random = np.random.default_rng(0)
    p, t = ((random.random((2, 6, 6, 3)) > 0.5).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(soft_dice(p, t, 0.0), dice(p > 0, t > 0), rtol=1e-6)
    empty = np.zeros_like(p)
    np.testing.assert_array_equal(soft_dice(empty, empty, 1.0), np.ones((2, 3)))


def test_segmentation_loss_by_hand():
    batch, segmenter = make_batch(), small_segmenter(dice_weight=0.25, smooth=2.0)
    variables = segmenter.init(KEY, batch)
    loss, _, predicted = head(segmenter, variables, batch)
    p, t = np.asarray(predicted), batch["mask"][..., :1]
    assert p.shape == (4, 8, 8, 1)
    assert 0 <= p.min() <= p.max() <= 1
    weight = batch["weight"]
    overlap, total = weight @ (p * t).sum((1, 2, 3)), weight @ (p + t).sum((1, 2, 3))
    distance = np.average(np.abs(p - t).mean((1, 2, 3)), weights=weight)
    assert float(loss) == pytest.approx(
        0.25 * (1 - (2 * overlap + 2) / (total + 2)) + 0.75 * distance, rel=1e-5
    )


def test_slices_without_a_region_do_not_reward_the_empty_mask():
    """Nine empty slices and one with a region: missing the region costs the whole Dice term, where
    a mean over slices would forgive it.
    """
    truth = np.zeros((10, 8, 8, 1), np.float32)
    truth[0, 2:6, 2:6] = 1
    nothing, weight = np.zeros_like(truth), np.ones(10, np.float32)
    assert float(pooled_soft_dice(nothing, truth, weight, 1.0)[0]) < 0.1
    assert float(jnp.mean(soft_dice(nothing, truth, 1.0))) > 0.9
    assert float(pooled_soft_dice(truth, truth, weight, 1.0)[0]) == pytest.approx(1)


def test_segmentation_dice_counts_slices_with_tumour_only():
    batch = make_batch()
    segmenter = make_diagnoser("segmenter", SPEC, ("oedema", "tumour"), width=4, depth=1)
    variables = segmenter.init(KEY, batch)
    _, metrics, probability = head(segmenter, variables, batch)
    value, weight = metrics["dice"]
    np.testing.assert_array_equal(weight, [1, 2, 0, 0])
    assert jnp.isfinite(value).all()
    predicted = np.asarray(probability)[0, ..., 1] >= 0.5
    assert float(value[0]) == pytest.approx(
        f1_score(batch["mask"][0, ..., 0].ravel(), predicted.ravel()), abs=1e-6
    )
    np.testing.assert_array_equal(metrics["loss"][1], batch["weight"])


def test_segmenter_learns_a_bright_square():
    """Gradient descent on one batch of images that show their own mask."""
    batch, segmenter = make_batch(), small_segmenter(width=8)
    batch |= {"image": 0.1 + 0.8 * batch["mask"][..., :1], "weight": np.ones(4, np.float32)}
    variables = segmenter.init(KEY, batch)

    @jax.jit
    def step(variables):
        loss, gradient = jax.value_and_grad(
            lambda p: segmenter.loss({**variables, "params": p}, batch, KEY, True)[0]
        )(variables["params"])
        return {
            **variables,
            "params": jax.tree.map(lambda p, g: p - 0.3 * g, variables["params"], gradient),
        }, loss

    first = None
    for _ in range(60):
        variables, loss = step(variables)
        first = loss if first is None else first
    assert float(loss) < 0.5 * float(first)
