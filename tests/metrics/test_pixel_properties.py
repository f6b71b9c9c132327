"""Images and regions: symmetries, scales, limits; Dice and means against scikit-learn and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import f1_score, jaccard_score

from fairrecon_jax import metrics
from tests.support.metric_samples import image_pair


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


SHAPE = (2, 16, 16, 1)
FUNCTIONS = {
    "mse": metrics.mean_squared_error,
    "psnr": metrics.psnr,
    "nrmse": metrics.nrmse,
    "ssim": metrics.ssim,
}
NAMES = ("mse", "psnr", "nrmse", "uniform", "gaussian")


def stacked(original, image, data_range=1.0):
    values = (
        metrics.mean_squared_error(original, image),
        metrics.psnr(original, image, data_range),
        metrics.nrmse(original, image),
        metrics.ssim(original, image, "uniform", data_range),
        metrics.ssim(original, image, "gaussian", data_range),
    )
    return jnp.stack(values)


compiled = jax.jit(stacked)


def numbers(original, image, data_range=1.0):
    """Every number of two images [2, 16, 16, 1], by name."""
    return dict(zip(NAMES, np.asarray(compiled(original, image, data_range)), strict=True))


def regions(seed=0, shape=(3, 6, 5, 2)):
    r = np.random.default_rng(seed)
    return np.round(r.random(shape), 1), (r.random(shape) < 0.4).astype(float)


def test_turning_both_images_changes_nothing():
    a, b = image_pair(2, SHAPE)
    value = compiled(a, b, 1.0)
    for turn in (lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: np.swapaxes(x, 1, 2)):
        np.testing.assert_allclose(compiled(turn(a), turn(b), 1.0), value, rtol=1e-10)


def test_batches_equal_loops_and_compile_once():
    a, b = image_pair(3, SHAPE)
    together, single = compiled(a, b, 1.0), jax.jit(stacked)
    assert together.shape == (len(NAMES), 2)
    np.testing.assert_allclose(together.T, [single(x, y) for x, y in zip(a, b)], rtol=1e-10)
    assert single._cache_size() == 1
    np.testing.assert_allclose(jax.jit(jax.vmap(stacked))(a, b), together.T, rtol=1e-10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_shapes_and_missing_axes_are_refused(name):
    with pytest.raises(
        ValueError, match=r"\[\.\.\., H, W, C\] of one shape, got \(12, 12, 1\) and \(12, 12, 2\)"
    ):
        FUNCTIONS[name](np.zeros((12, 12, 1)), np.zeros((12, 12, 2)))
    with pytest.raises(ValueError, match=r"got \(12, 12\) and \(12, 12\)"):
        FUNCTIONS[name](np.zeros((12, 12)), np.zeros((12, 12)))


def test_squared_error_agrees_with_scikit_image_and_is_symmetric():
    a, b = image_pair(4, SHAPE)
    actual = numbers(a, b)["mse"]
    np.testing.assert_allclose(actual, [mean_squared_error(x, y) for x, y in zip(a, b)], atol=1e-12)
    np.testing.assert_array_equal(actual, numbers(b, a)["mse"])


def test_psnr_in_decibels():
    a = np.full(SHAPE, 0.5)
    np.testing.assert_allclose(numbers(a, a + 0.1)["psnr"], 20)
    np.testing.assert_allclose(numbers(a, a + 1)["psnr"], 0, atol=1e-12)
    x, y = image_pair(5, SHAPE)
    np.testing.assert_allclose(
        numbers(x, x + 10 * (y - x))["psnr"], numbers(x, y)["psnr"] - 20, atol=1e-10
    )
    expected = [peak_signal_noise_ratio(p, q, data_range=2) for p, q in zip(x, y)]
    np.testing.assert_allclose(numbers(x, y, 2.0)["psnr"], expected, atol=1e-10)


def test_nrmse_has_no_unit_and_is_one_for_a_black_image():
    a, b = image_pair(6, SHAPE)
    np.testing.assert_allclose(numbers(30 * a, 30 * b)["nrmse"], numbers(a, b)["nrmse"], rtol=1e-12)
    np.testing.assert_allclose(numbers(a, np.zeros_like(a))["nrmse"], 1, rtol=1e-12)
    np.testing.assert_allclose(numbers(a, 1.25 * a)["nrmse"], 0.25, rtol=1e-10)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_is_symmetric_scale_free_and_bounded(window):
    a, b = image_pair(7, SHAPE)
    value = numbers(a, b)[window]
    np.testing.assert_allclose(numbers(b, a)[window], value, atol=1e-10)
    np.testing.assert_allclose(numbers(255 * a, 255 * b, 255.0)[window], value, atol=1e-10)
    assert np.all(np.abs(value) <= 1)
    assert np.all(numbers(a, 1 - a)[window] < value)
    np.testing.assert_allclose(numbers(a, a)[window], 1, atol=1e-12)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_of_flat_images_is_the_luminance_term(window):
    x, y, c = 0.3, 0.8, 1e-4
    value = numbers(np.full(SHAPE, x), np.full(SHAPE, y))[window]
    np.testing.assert_allclose(value, (2 * x * y + c) / (x * x + y * y + c), atol=1e-10)


def test_ssim_averages_channels_as_scikit_image_does():
    a, b = image_pair(8, (16, 16, 2))
    actual = jax.jit(metrics.ssim)(a, b)
    np.testing.assert_allclose(
        actual, structural_similarity(a, b, data_range=1, channel_axis=-1), atol=1e-10
    )
    alone = numbers(*(np.moveaxis(x, -1, 0)[..., None] for x in (a, b)))["uniform"]
    np.testing.assert_allclose(actual, alone.mean(), atol=1e-10)


def test_ssim_needs_one_whole_window():
    for window, size in (("uniform", 7), ("gaussian", 11)):
        assert jax.eval_shape(
            lambda x, w=window: metrics.ssim(x, x, w), np.zeros((5, size, size, 1))
        ).shape == (5,)
        with pytest.raises(
            ValueError, match=rf"at least {size} x {size} pixels, got \({size}, {size - 1}\)"
        ):
            metrics.ssim(np.zeros((size, size - 1, 1)), np.zeros((size, size - 1, 1)), window)


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_dice_agrees_with_scikit_learn(threshold):
    predicted, truth = regions()
    actual = np.asarray(metrics.dice(predicted, truth, threshold))
    for i, s in np.ndindex(actual.shape):
        real, said = truth[i, ..., s].ravel(), predicted[i, ..., s].ravel() >= threshold
        assert actual[i, s] == pytest.approx(f1_score(real, said), abs=1e-12)
        overlap = jaccard_score(real, said)
        assert actual[i, s] == pytest.approx(2 * overlap / (1 + overlap), abs=1e-12)


def test_dice_does_not_care_where_pixels_are_and_which_mask_is_which():
    predicted, truth = regions(1)
    value = metrics.dice(predicted, truth)
    order = np.random.default_rng(0).permutation(30)
    shuffled = [part.reshape(3, 30, 2)[:, order].reshape(part.shape) for part in (predicted, truth)]
    np.testing.assert_array_equal(metrics.dice(*shuffled), value)
    np.testing.assert_array_equal(metrics.dice(truth, (predicted >= 0.5).astype(float)), value)
    wide = [np.repeat(part, 3, axis=1) for part in (predicted, truth)]
    np.testing.assert_allclose(metrics.dice(*wide), value, atol=1e-15)


def test_dice_batches_compile_once_and_refuse_unknown_rules():
    predicted, truth = regions(2)
    compiled = jax.jit(jax.vmap(metrics.dice))
    np.testing.assert_array_equal(compiled(predicted, truth), metrics.dice(predicted, truth))
    compiled(1 - predicted, truth)
    assert compiled._cache_size() == 1
    with pytest.raises(ValueError, match=r"one of \['one', 'undefined', 'zero'\], got 'skip'"):
        metrics.dice(predicted, truth, empty="skip")


def test_masked_means_agree_with_numpy():
    r = np.random.default_rng(3)
    value, weight = r.random((4, 5)), r.integers(1, 4, (4, 5)).astype(float)
    value[1, 2] = value[3, 0] = np.nan
    masked_mean = jax.jit(metrics.masked_mean, static_argnames="axis")
    for axis in (0, 1):
        expected = np.ma.average(np.ma.masked_invalid(value), axis, weight)
        np.testing.assert_allclose(masked_mean(value, weight, axis=axis), expected, atol=1e-12)
        np.testing.assert_allclose(
            masked_mean(value, axis=axis), np.nanmean(value, axis), atol=1e-12
        )
    assert np.isnan(masked_mean(value, np.zeros((4, 5)), axis=1)).all()
    infinite = np.array([1.0, np.inf])  # a weight of 0 keeps even an infinite value out
    assert float(metrics.masked_mean(infinite, np.array([1.0, 0.0]))) == 1
    assert np.isfinite(
        jax.grad(lambda v: metrics.masked_mean(v, jnp.array([1.0, 0.0])))(jnp.array([1.0, 2.0]))
    ).all()
