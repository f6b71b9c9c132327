"""What is wrong with images of one's own is told where they are read: grey values on another scale,
zoom, masks without a region, constant images, orientation in DICOM.
"""

import warnings

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from fairrecon_jax.data import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.cohorts.table.alignment import misplaced, on_another_scale
from fairrecon_jax.data.columns import MaskColumn
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.data.formats import orientation_of, read_dicom, read_mask
from fairrecon_jax.data.images import UnreadableImage
from fairrecon_jax.data.mapping import table_columns
from fairrecon_jax.types import InputError
from tests.data.test_pixels import dicom
from tests.support.own_tree import COLUMNS, picture, region, write_own


def config(size=16, **change):
    return CohortConfig("table", image_size=size, columns=table_columns({**COLUMNS, **change}))


def paired(scale="same"):
    return config(32, reconstructions={"vendor": {"folder": "vendor", "scale": scale}})


def rewrite(folder, change):
    """Every image of a folder, changed."""
    for path in sorted(folder.iterdir()):
        Image.fromarray(change(np.asarray(Image.open(path)), int(path.stem))).save(path)


def told(tree, out, chosen):
    """What `prepare` warns of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        prepare(chosen, tree, out, progress=False)
    return [str(one.message) for one in said]


# -- pairs


def stretched(pixels, number):
    return (1.6 * pixels.astype(float) - 0.2 * 65535).clip(0, 65535).astype(np.uint16)


def whole_range(pixels, number):
    """As `fairrecon reconstruct` writes images: from the smallest value to the largest."""
    low, high = picture(number).min() * 257.0, picture(number).max() * 257.0
    return ((pixels - low) / (high - low) * 65535).clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("change", "scale", "advice"),
    [
        (stretched, "same", "store it with its original's grey values"),
        (whole_range, "same", "set scale = 'full' of its files in columns, which fits"),
        (None, "full", "set scale = 'same' of its files in columns, which fits"),
    ],
)
def test_grey_values_on_another_scale_are_told_with_what_to_set(tmp_path, change, scale, advice):
    root = write_own(tmp_path / "tree")
    # narrow, so that the file's range and the image's own are not the same
    for folder, factor in (("images", 1), ("vendor", 257)):
        rewrite(root / folder, lambda p, n, f=factor: (p // 2 + 40 * f).astype(p.dtype))
    originals = {n: picture(n) // 2 + 40 for n in range(24)}

    def full(pixels, number):
        low, high = originals[number].min() * 257.0, originals[number].max() * 257.0
        return ((pixels - low) / (high - low) * 65535).clip(0, 65535).astype(np.uint16)

    if change is not None:
        rewrite(root / "vendor", full if change is whole_range else change)
    (line,) = told(root, tmp_path / "out", paired(scale))
    assert line.startswith("pair_scale x 24: a reconstruction or degraded image has its grey")
    assert "vendor: its grey values are" in line
    assert f"on scale '{scale}': {advice}" in line
    assert examine("table", root, paired(scale), progress=False).ok, "a warning, and no error"


def test_what_is_on_its_originals_scale_is_not_told(tmp_path):
    assert told(write_own(tmp_path / "tree"), tmp_path / "out", paired()) == []
    rng = np.random.default_rng(0)
    for number in range(20):
        original = picture(number) / 255
        noisy = original + rng.normal(0, 0.3, original.shape)
        assert on_another_scale(original, noisy)[0] == 0
        assert on_another_scale(original, np.ones_like(original))[0] == 0


@pytest.mark.parametrize("zoom", [1.1, 1.3, 1.6])
@pytest.mark.parametrize("off", [0.0, 0.3])
def test_a_crop_or_zoom_is_told(zoom, off):
    for number in range(8):
        image = Image.fromarray(picture(number)).resize((128, 128), Image.Resampling.BICUBIC)
        side = 128 / zoom
        left, top = ((128 - side) / 2 * (1 + sign * off) for sign in (1, -1))
        box = (left, top, left + side, top + side)
        magnified = image.resize((128, 128), Image.Resampling.BILINEAR, box=box)
        one, two = np.asarray(image, float), np.asarray(magnified, float)
        assert "it is magnified, to about" in misplaced(one, two)
        assert "it is reduced, to about" in misplaced(two, one)


def test_files_of_others_are_told(tmp_path):
    root = write_own(tmp_path / "tree")
    names = [f"{number:03d}.png" for number in range(24)]
    for name, other in zip(names, names[5:] + names[:5], strict=True):
        Image.fromarray(picture(int(other[:3]))).save(root / "vendor" / name)
    (line,) = told(root, tmp_path / "out", paired())
    # some resemble each other by chance
    assert line.startswith("misaligned x 20: ")
    rewrite(root / "vendor", lambda image, n: picture(n))
    report = examine("table", root, paired(), progress=False)
    assert report.count("pair_same") == 24
    for name in names:
        (root / "vendor" / name).unlink()
        tifffile.imwrite(root / "vendor" / f"{name[:3]}.tif", picture(0).astype(np.float32))
    with pytest.raises(InputError, match=r"24 x pair_shape .*: store both in one way"):
        prepare(paired(), root, tmp_path / "other", progress=False)


# -- masks


def palette_mask(path, index, colours):
    image = Image.fromarray(index.astype(np.uint8), mode="L")
    image.putpalette([value for colour in colours for value in colour])
    image.save(path)


def test_codes_of_a_palette_are_its_indices(tmp_path):
    index = np.zeros((8, 8), np.uint8)
    index[2:4], index[4:6] = 1, 2
    palette_mask(tmp_path / "m.png", index, [(0, 0, 0), (200, 30, 30), (10, 90, 10)])
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", codes=True).values[0], index)
    assert set(np.unique(read_mask(tmp_path / "m.png").values)) == {0, 90, 200}
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 1:] = 40000
    tifffile.imwrite(tmp_path / "m.tif", index, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", codes=True).values[0], index)
    Image.fromarray(np.stack([index, 0 * index, index * 3], -1)).save(tmp_path / "c.png")
    with pytest.raises(UnreadableImage, match="a mask in colours has no codes"):
        read_mask(tmp_path / "c.png", codes=True)


def test_a_region_by_codes_of_a_palette(tmp_path):
    root = write_own(tmp_path / "tree")
    for number in range(24):
        index = (region(number) > 0) * 2
        palette_mask(root / f"masks/{number:03d}.png", index, [(9, 9, 9), (1, 1, 1), (0, 0, 255)])
    mask = {"task": "lung", "folder": "masks", "inside": [2]}
    chosen = config(32, mask=mask)
    assert told(root, tmp_path / "out", chosen) == []
    table = open_cohort(chosen, tmp_path / "out").table
    assert table["lung"].sum() == sum((region(n) > 0).sum() for n in range(24))
    # its background is no black: by colours every pixel would be inside
    with pytest.raises(InputError, match="every pixel of any of the 24 masks is inside"):
        prepare(config(32), root, tmp_path / "other", progress=False)
    report = examine("table", root, config(32), progress=False)
    assert report.count("masks") == 1
    assert report.count("mask_values") == 24, "colours and indices mean different regions"


@pytest.mark.parametrize(
    ("values", "inside", "message"),
    [
        (
            (0, 255),
            [1],
            r"no pixel of any of the 24 masks is inside; .*names 1, they hold 0, 255",
        ),
        ((0, 0), "nonzero", "no pixel of any of the 24 masks is inside; columns.mask.inside says"),
        ((7, 7), "nonzero", "every pixel of any of the 24 masks is inside"),
    ],
)
def test_masks_without_a_region_are_refused(tmp_path, values, inside, message):
    root = write_own(tmp_path / "tree")
    rewrite(root / "masks", lambda mask, n: np.where(mask > 0, *values[::-1]).astype(np.uint8))
    chosen = config(mask={"task": "lung", "folder": "masks", "inside": inside})
    with pytest.raises(InputError, match=message):
        prepare(chosen, root, tmp_path / "out", progress=False)
    assert not examine("table", root, chosen, progress=False).ok


def test_codes_that_no_mask_has_are_told(tmp_path):
    root = write_own(tmp_path / "tree")
    chosen = config(mask={"task": "lung", "folder": "masks", "inside": [255, 3]})
    (line,) = told(root, tmp_path / "out", chosen)
    assert "no pixel of the 24 masks has 3; columns.mask.inside names 3, 255, they" in line


def test_codes_are_whole_numbers(tmp_path):
    for inside in ((1.5,), (True,), (), "some"):
        with pytest.raises(ValueError, match="inside must be 'nonzero', 'half' or whole numbers"):
            MaskColumn("lung", folder="masks", inside=inside)
    root = write_own(tmp_path / "tree")
    for number in range(24):
        values = (region(number) > 0).astype(np.float32) * (0.99999 if number else 0.5)
        (root / f"masks/{number:03d}.png").unlink()
        tifffile.imwrite(root / f"masks/{number:03d}.tif", values)
    chosen = config(mask={"task": "lung", "folder": "masks", "inside": [1]})
    (line,) = told(root, tmp_path / "out", chosen)
    assert "mask_values x 1" in line
    assert "values such as 0.5 are no codes: columns.mask.inside takes 'half' for them" in line
    assert open_cohort(chosen, tmp_path / "out").table["lung"].min() > 0


# -- constant images


def test_constant_images_are_counted_and_told(tmp_path):
    root = write_own(tmp_path / "tree")
    rewrite(root / "images", lambda image, n: image if n >= 5 else np.full_like(image, 9))
    (line,) = told(root, tmp_path / "out", config())
    assert line.startswith("constant x 5: an image holds one single value, e.g. images/000.png")
    assert len(open_cohort(config(), tmp_path / "out")) == 19


def test_nothing_usable_says_why_by_kind(tmp_path):
    root = write_own(tmp_path / "tree")
    rewrite(root / "images", lambda image, n: np.full_like(image, 9))
    (root / "images/003.png").write_bytes(b"no image")
    (root / "images/004.png").unlink()
    message = (
        r"22 x constant \(e\.g\. images/000\.png: the image holds one single value\); "
        r".*1 x unreadable \(e\.g\. images/003\.png: "
    )
    with pytest.raises(InputError, match=message):
        prepare(config(), root, tmp_path / "out", progress=False)
    report = examine("table", root, config(), progress=False)
    nothing = next(found for found in report.findings if found.kind == "nothing")
    assert "22 x constant" in nothing.examples[0]


# -- DICOM


AS_IT_IS = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        ({}, AS_IT_IS),
        ({"PatientOrientation": ["L", "F"]}, AS_IT_IS),
        ({"PatientOrientation": ["R", "F"]}, AS_IT_IS[:, ::-1]),
        ({"PatientOrientation": ["L", "H"]}, AS_IT_IS[::-1]),
        ({"PatientOrientation": ["RP", "H"]}, AS_IT_IS[::-1, ::-1]),
        ({"PatientOrientation": ["F", "L"]}, AS_IT_IS.T),
        ({"PatientOrientation": ["H", "L"]}, AS_IT_IS.T[::-1]),
        ({"PatientOrientation": ["A", "F"]}, AS_IT_IS),
        ({"PatientOrientation": ["P", "H"]}, AS_IT_IS[::-1]),
        ({"PatientOrientation": ["A", "R"]}, AS_IT_IS),  # a breast from above
        ({"PatientOrientation": ["L", "L"]}, AS_IT_IS),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, AS_IT_IS),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0.1]}, AS_IT_IS[:, ::-1]),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, AS_IT_IS),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, AS_IT_IS.T),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, 1]}, AS_IT_IS[::-1]),
    ],
)
def test_dicom_is_turned_as_its_orientation_says(tmp_path, tags, want):
    dicom(tmp_path / "a.dcm", AS_IT_IS, **tags)
    np.testing.assert_array_equal(read_dicom(tmp_path / "a.dcm")[0], want)
    np.testing.assert_array_equal(read_dicom(tmp_path / "a.dcm", mask=True)[0], want)
    assert (orientation_of(tmp_path / "a.dcm") == "") == (want is AS_IT_IS)


def test_a_mask_that_is_not_turned_with_its_image_is_told(tmp_path):
    root = write_own(tmp_path / "tree")
    for path in sorted((root / "images").iterdir()):
        pixels = np.asarray(Image.open(path)).astype(np.uint16)
        dicom(path.with_suffix(".dcm"), pixels, PatientOrientation=["R", "F"])
        path.unlink()
    lines = told(root, tmp_path / "out", config(32, bits=16))
    (line,) = (one for one in lines if one.startswith("turned"))
    assert "turned x 24" in line
    assert "it is read as stored, its image mirrored, as their tags say: do both fit?" in line


def test_values_of_single_frames_are_rescaled_by_their_own_tags(tmp_path):
    groups = []
    for slope in (1, 2):
        values, group = pydicom.Dataset(), pydicom.Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 10, "US"
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    pixels = np.stack([AS_IT_IS, AS_IT_IS])
    dicom(tmp_path / "a.dcm", pixels, PerFrameFunctionalGroupsSequence=groups)
    read = read_dicom(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read, np.stack([AS_IT_IS + 10.0, 2.0 * AS_IT_IS + 10]))


def test_tags_that_contradict_each_other_are_refused(tmp_path):
    dicom(tmp_path / "a.dcm", AS_IT_IS, PresentationLUTShape="INVERSE")
    with pytest.raises(UnreadableImage, match="MONOCHROME2 contradicts the PresentationLUTShape"):
        read_dicom(tmp_path / "a.dcm")
