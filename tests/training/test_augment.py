"""Augmentation: what it keeps, what it draws from, and where a study takes it from."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from configs.nih_chestxray14 import get_config
from fairrecon_jax.keys import example_keys, identity
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.augment import Augmentation

KEY = jax.random.key(0)


def make_batch(size: int = 8) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = np.zeros((4, size, size, 2), np.float32)
    mask[0, 2:5, 2:5, 0] = mask[1, 1:7, 1:3, 1] = mask[3, :2, :2] = 1
    image, names = (
        random.random((4, size, size, 1), np.float32),
        random.integers(0, 2**32, (4, 2), dtype=np.uint32),
    )
    return {"image": image, "mask": mask, "example_id": names, "weight": np.ones(4, np.float32)}


def test_the_default_changes_nothing():
    batch = make_batch()
    image, mask = Augmentation()(batch["image"], batch["mask"], batch["example_id"], KEY)
    np.testing.assert_array_equal(image, batch["image"])
    np.testing.assert_array_equal(mask, batch["mask"])


def test_image_and_mask_move_alike_by_example():
    batch = make_batch(16)
    image = batch["mask"][..., :1] * 0.5
    augment = jax.jit(Augmentation(flip=True, shift=0.25))
    moved, mask = augment(image, batch["mask"], batch["example_id"], KEY)
    np.testing.assert_array_equal(moved, mask[..., :1] * 0.5)
    assert (np.asarray(mask) != batch["mask"]).any()
    reverse = augment(image[::-1], batch["mask"][::-1], batch["example_id"][::-1], KEY)
    np.testing.assert_array_equal(reverse[0][::-1], moved)
    other = augment(image, batch["mask"], batch["example_id"], jax.random.key(1))
    assert (other[0] != moved).any()


BORDERS = [("edge", {"mode": "nearest"}), (0.25, {"mode": "grid-constant", "cval": 0.25})]


@pytest.mark.parametrize(("border", "beside"), BORDERS)
def test_turns_and_zooms_are_those_of_scipy(border, beside):
    batch, size = make_batch(24), 24
    batch["mask"][..., 0] = 1 - batch["mask"][..., 0]  # up to the border
    augment = jax.jit(Augmentation(rotate=45.0, zoom=0.15, border=border))
    moved, mask = augment(batch["image"], batch["mask"], batch["example_id"], KEY)
    drawn = []
    for i, key in enumerate(example_keys(KEY, batch["example_id"])):
        turn, zoom = (
            float(jax.random.uniform(jax.random.fold_in(key, stream), minval=-1.0))
            for stream in (3, 4)
        )
        angle, factor = np.deg2rad(45 * turn), 1 + 0.15 * zoom
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix, centre = matrix / factor, np.full(2, (size - 1) / 2)
        place = {"matrix": matrix, "offset": centre - matrix @ centre}
        image = batch["image"][i, :, :, 0]
        wanted = affine_transform(image, order=1, **place, **beside)
        np.testing.assert_allclose(moved[i, :, :, 0], wanted, atol=2e-5)  # float32 places
        if border != "edge":
            # scipy's "constant" leaves the half-covered pixels at the border out
            inner = {"mode": "constant", "cval": border}
            wanted = affine_transform(image, order=1, **place, **inner)
            differs = np.abs(np.asarray(moved)[i, :, :, 0] - wanted) > 2e-5
            at = matrix @ np.stack(np.nonzero(differs)) + place["offset"][:, None]
            assert ((at < 0) | (at > size - 1)).any(0).all()
            assert ((at > -1) & (at < size)).all()
            assert 0.05 < (wanted == np.float32(border)).mean() < 0.5
        of_masks = beside if border == "edge" else {"mode": "grid-constant", "cval": 0.0}
        wanted = affine_transform(batch["mask"][i, :, :, 0], order=0, **place, **of_masks)
        assert (np.asarray(mask)[i, :, :, 0] == wanted).mean() > 0.99  # but for ties of rounding
        drawn.append((angle, factor))
    assert set(np.unique(mask)) == {0, 1}
    assert np.ptp(np.array(drawn), axis=0).min() > 0.05


@pytest.mark.parametrize(("border", "beside"), BORDERS)
def test_shifts_are_those_of_scipy(border, beside):
    batch, size = make_batch(24), 24
    batch["mask"][..., 0] = 1
    moved, mask = jax.jit(Augmentation(shift=0.3, border=border))(
        batch["image"], batch["mask"], batch["example_id"], KEY
    )
    of_masks = beside if border == "edge" else {"mode": "grid-constant", "cval": 0.0}
    for i, key in enumerate(example_keys(KEY, batch["example_id"])):
        drawn = jax.random.uniform(jax.random.split(key, 3)[1], (2,), minval=-1.0)
        place = {"matrix": np.eye(2), "offset": np.round(np.asarray(drawn) * 0.3 * size)}
        wanted = affine_transform(batch["image"][i, :, :, 0], order=0, **place, **beside)
        np.testing.assert_array_equal(moved[i, :, :, 0], wanted)
        wanted = affine_transform(batch["mask"][i, :, :, 0], order=0, **place, **of_masks)
        np.testing.assert_array_equal(mask[i, :, :, 0], wanted)


def test_switching_one_change_on_moves_no_other_draw():
    batch = make_batch(16)
    args = batch["image"], batch["mask"], batch["example_id"], KEY
    shifted, _ = Augmentation(shift=0.2)(*args)
    still, _ = Augmentation(shift=0.2, rotate=1e-6)(*args)
    np.testing.assert_allclose(still, shifted, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotate": -1.0}, r"rotate must lie in \[0, 180\], got -1.0"),
        ({"zoom": 1.0}, r"zoom must lie in \[0, 0.9\], got 1.0"),
        ({"shift": 1.5}, r"shift must lie in \[0, 1\], got 1.5"),
        ({"gain": -0.1}, r"gain must lie in \[0, 1\], got -0.1"),
        ({"border": 1.5}, r"border is 'edge' or a grey in \[0, 1\], got 1.5"),
        ({"border": "reflect"}, r"border is 'edge' or a grey in \[0, 1\], got 'reflect'"),
        ({"border": float("nan")}, r"border is 'edge' or a grey in \[0, 1\], got nan"),
        ({"border": np.bool_(True)}, r"border is 'edge' or a grey in \[0, 1\], got .*True"),
    ],
)
def test_what_is_no_share_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**fields)


def test_gain_keeps_the_mean_and_the_range():
    batch = make_batch()
    image = 0.4 + 0.2 * batch["image"]
    changed, mask = Augmentation(gain=0.5)(image, batch["mask"], batch["example_id"], KEY)
    np.testing.assert_allclose(changed.mean((1, 2, 3)), image.mean((1, 2, 3)), rtol=1e-5)
    ratio = np.asarray(changed).std((1, 2, 3)) / image.std((1, 2, 3))
    assert ((ratio > 0.5) & (ratio < 1.5)).all()
    assert np.ptp(ratio) > 0.01
    np.testing.assert_array_equal(mask, batch["mask"])
    extreme, _ = Augmentation(gain=0.9)(batch["image"], batch["mask"], batch["example_id"], KEY)
    assert 0 <= float(extreme.min()) <= float(extreme.max()) <= 1


def test_flips_come_half_of_the_time():
    image = np.zeros((2000, 2, 2, 1), np.float32)
    image[:, :, 0] = 1
    names = np.random.default_rng(0).integers(0, 2**32, (2000, 2), dtype=np.uint32)
    flipped, _ = jax.jit(Augmentation(flip=True))(image, image, names, KEY)
    assert np.mean(np.asarray(flipped)[:, 0, 0, 0] == 0) == pytest.approx(0.5, abs=0.05)


def test_a_batch_keeps_its_other_fields():
    batch = make_batch()
    changed = Augmentation(flip=True, shift=0.2).batch(batch, KEY)
    image, mask = Augmentation(flip=True, shift=0.2)(
        batch["image"], batch["mask"], batch["example_id"], KEY
    )
    np.testing.assert_array_equal(changed["image"], image)
    np.testing.assert_array_equal(changed["mask"], mask)
    assert changed["weight"] is batch["weight"]


def test_a_block_without_the_field_is_not_augmented_and_a_wrong_one_is_named():
    config = get_config()
    study = parse(config)
    assert study.reconstructors["unet"].augment == Augmentation()
    assert study.reconstructors["irsde"].augment == Augmentation(flip=True, shift=0.05)
    config.reconstructors.irsde.augment.turn = 0.1
    with pytest.raises(
        ValueError,
        match=r"config.reconstructors.irsde.augment has no field turn; it takes border, flip, gain",
    ):
        parse(config)


def test_weights_depend_on_the_augmentation():
    assert identity(Augmentation(shift=0.1)) != identity(Augmentation())
    black = identity(Augmentation(shift=0.1, border=0))
    assert black == {**identity(Augmentation(shift=0.1)), "border": 0}
    assert identity(Augmentation(shift=0.1, border=np.float32(0))) == black
