"""Grad-CAM: hand-computed maps, the class activation map of a linear head, and the networks' own
maps and heads.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.diagnosers import Classifier, HasFeatureMaps, Preprocessing, enlarged, grad_cam

MAPS = np.array([[[1.0, 0.0], [2.0, 1.0]], [[0.0, 3.0], [1.0, 0.0]]], np.float32)[
    None
]  # [1, 2, 2, 2]


def test_a_hand_computed_network():
    """Two scores of the channel means m: s_1 = m_1^2 - 3 m_2 and s_2 = -m_1."""

    def head(maps):
        first, second = jnp.mean(maps, (1, 2))[:, 0], jnp.mean(maps, (1, 2))[:, 1]
        return jnp.stack([first**2 - 3 * second, -first], 1)

    # means (1, 1), four places: d s_1 / d A_1 = 2 * 1 / 4, d s_1 / d A_2 = -3 / 4, d s_2 / d A_1 =
    # -1 / 4
    actual = grad_cam(head, MAPS)
    np.testing.assert_allclose(actual[0, 0], [[0.5, 0.25], [0.0, 0.5]], rtol=1e-6)
    np.testing.assert_array_equal(actual[0, 1], np.zeros((2, 2)))


def test_a_slope_that_differs_between_places_is_averaged():
    """s = sum_ij m_ij A_1ij has slopes m: every place gets their mean."""
    mask = jnp.array([[4.0, 0.0], [0.0, 0.0]])
    actual = grad_cam(lambda maps: jnp.sum(mask[None] * maps[..., 0], (1, 2))[:, None], MAPS)
    np.testing.assert_allclose(actual[0, 0], MAPS[0, ..., 0], rtol=1e-6)


def test_a_linear_head_gives_the_class_activation_map():
    """G = ReLU(sum_k w_k A_k) / (h w), and what the ReLU sees adds up to the score without its
    bias.
    """
    rng = np.random.default_rng(0)
    maps, weight, bias = rng.normal(size=(3, 4, 5, 6)), rng.normal(size=(6, 2)), rng.normal(size=2)
    with jax.enable_x64():
        actual = grad_cam(lambda a: jnp.mean(a, (1, 2)) @ weight + bias[None], jnp.asarray(maps))
    activation = np.einsum("bhwc,ct->bthw", maps, weight) / 20
    np.testing.assert_allclose(actual, np.maximum(activation, 0), atol=1e-6)
    np.testing.assert_allclose(activation.sum((2, 3)), maps.mean((1, 2)) @ weight, atol=1e-10)


def test_examples_do_not_look_at_each_other():
    rng = np.random.default_rng(1)
    maps, weight = (
        rng.normal(size=(4, 3, 3, 5)).astype(np.float32),
        rng.normal(size=(5, 2)).astype(np.float32),
    )

    def head(a):
        return jnp.tanh(jnp.mean(a, (1, 2)) @ weight)

    np.testing.assert_allclose(grad_cam(head, maps)[2:3], grad_cam(head, maps[2:3]), rtol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "hidden"), [("resnet18", ()), ("resnet18", (6, 5)), ("densenet121", ())]
)
def test_classifiers_offer_maps_and_a_head_that_make_their_prediction(backbone, hidden):
    model = Classifier(
        ("a", "b"),
        (0, 1),
        backbone,
        width=8,
        hidden=hidden,
        preprocessing=Preprocessing(input_size=64),
    )
    image = jax.random.uniform(jax.random.key(0), (2, 48, 48, 1))
    variables = model.init(jax.random.key(1), {"image": image})
    assert isinstance(model, HasFeatureMaps)

    @jax.jit
    def read(variables, image):
        maps = model.maps(variables, image)
        whole = model.predict(variables, image), model.features(variables, image)
        return (
            maps,
            jax.nn.sigmoid(model.head(variables, maps)),
            *whole,
            grad_cam(lambda a: model.head(variables, a), maps),
        )

    maps, judged, predicted, features, attention = read(variables, image)
    assert maps.shape[:3] == (2, 2, 2)
    np.testing.assert_allclose(judged, predicted, rtol=1e-6)
    if not hidden:
        np.testing.assert_allclose(jnp.mean(maps, (1, 2)), features, rtol=1e-6)
        kernel = variables["params"]["classifier"]["head"]["dense0"]["kernel"]
        activation = jax.nn.relu(jnp.einsum("bhwc,ct->bthw", maps, kernel)) / 4
        np.testing.assert_allclose(attention, activation, atol=1e-6)


def test_maps_are_stretched_over_the_image():
    np.testing.assert_allclose(
        enlarged(np.ones((2, 3, 2, 2), np.float32), (8, 6)), np.ones((2, 3, 8, 6)), rtol=1e-6
    )
    corner = np.zeros((1, 4, 4), np.float32)
    corner[0, 0, 3] = 1.0
    actual = np.asarray(enlarged(corner, (16, 16)))[0]
    assert np.unravel_index(actual.argmax(), actual.shape) in {(0, 15), (0, 14), (1, 15), (1, 14)}
