"""What an image loses in an 8-bit JPEG file, against Pillow's files."""

import io

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from fairrecon_jax.physics import LowDoseXray, make_degradation
from fairrecon_jax.physics.jpeg import jpeg_round_trip, steps_of


def smooth(shape, seed=0):
    image = gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def filed(image, quality):
    file = io.BytesIO()
    Image.fromarray((image * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    opened = Image.open(file)
    return np.asarray(opened), np.array(opened.quantization[0]).reshape(8, 8)


@pytest.mark.parametrize("quality", [30, 75, 90])
@pytest.mark.parametrize("shape", [(64, 64), (61, 50)])
def test_the_round_trip_is_that_of_a_file(shape, quality):
    image = smooth(shape)
    wanted, steps = filed(image, quality)
    np.testing.assert_array_equal(steps_of(quality), steps)
    found = np.asarray(jpeg_round_trip(image, quality)) * 255
    # libjpeg's transform is one of whole numbers: a coefficient on the edge falls either way
    apart, lost = np.abs(found - wanted), np.abs(wanted - 255 * image)
    assert (apart < 0.5).mean() > 0.8
    assert apart.mean() < 0.25 * lost.mean()


def test_low_dose_images_of_files_have_the_loss_of_files():
    image = smooth((1, 64, 64), 3)[..., None]
    ids, key = np.array([[0, 1]], np.uint32), jax.random.key(0)
    plain, stored = (
        make_degradation("xray_low_dose", size=64, storage=storage) for storage in ("float", "jpeg")
    )
    before, after = (
        np.asarray(jax.jit(scan.__call__)(scan.operator(1e4), image, ids, key))[0, ..., 0]
        for scan in (plain, stored)
    )
    assert (after.min(), after.max()) == (0, 1)
    wanted = filed(before, 75)[0].astype(float)
    wanted = (wanted - wanted.min()) / np.ptp(wanted)
    assert np.sqrt(np.mean((after - wanted) ** 2)) < 0.4 * np.sqrt(np.mean((before - wanted) ** 2))
    with pytest.raises(ValueError, match="storage 'png' must be one of"):
        LowDoseXray(64, storage="png")  # type: ignore[arg-type]
