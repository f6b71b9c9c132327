import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from fairrecon_jax.data import images
from fairrecon_jax.data.files import inside
from fairrecon_jax.data.notes import Notes
from tests.support.trees import flair_volume, noise, write_nifti


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.png", True),
        ("../b.png", False),
        ("a/../../b", False),
        ("/etc/x", False),
        ("a\\..\\b", False),
        ("a..b", True),
    ],
)
def test_inside(path, expected):
    assert inside(path) is expected


def test_grey_and_colour_png_agree(tmp_path):
    grey = noise((20, 30))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)])).save(
        tmp_path / "rgba.png"
    )
    np.testing.assert_array_equal(images.read_grey(tmp_path / "grey.png"), grey)
    np.testing.assert_array_equal(images.read_grey(tmp_path / "rgba.png"), grey)


def test_sixteen_bit_png_keeps_its_values(tmp_path):
    deep = (noise((20, 30)).astype(np.uint16) * 200).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(images.read_grey(tmp_path / "deep.png"), deep)


@pytest.mark.parametrize("name", ["whole.png", "whole.jpg"])
def test_truncated_and_foreign_files_are_unreadable_and_named(tmp_path, name):
    Image.fromarray(noise((64, 64))).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(images.UnreadableImage, match=name):
        images.read_grey(tmp_path / name)
    (tmp_path / name).write_text("this is no image")
    with pytest.raises(images.UnreadableImage, match=name):
        images.read_grey(tmp_path / name)


def test_truncated_tiff_is_unreadable_and_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((32, 32, 3)))
    assert images.read_tiff(tmp_path / "a.tif").shape == (32, 32, 3)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:500])
    with pytest.raises(images.UnreadableImage, match=r"a\.tif"):
        images.read_tiff(tmp_path / "a.tif")


def test_volume_values_are_scaled_by_the_slope(tmp_path):
    values = flair_volume()
    write_nifti(tmp_path / "v.nii.gz", values, slope=0.5)
    stored = nibabel.load(tmp_path / "v.nii.gz")
    assert stored.get_data_dtype() == np.int16
    assert not np.allclose(np.asarray(stored.dataobj.get_unscaled()), values * 0.5)
    np.testing.assert_allclose(images.read_volume(tmp_path / "v.nii.gz"), values * 0.5, atol=0.02)


def test_volume_is_turned_to_canonical_axes(tmp_path):
    values = flair_volume((6, 8, 5))
    write_nifti(tmp_path / "ras.nii.gz", values)
    write_nifti(tmp_path / "lps.nii.gz", values[::-1, ::-1], affine=np.diag([-1.0, -1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(
        images.read_volume(tmp_path / "ras.nii.gz"), images.read_volume(tmp_path / "lps.nii.gz")
    )


def test_voxels_that_are_not_finite_count_as_the_smallest_value_or_make_a_volume_unreadable(
    tmp_path,
):
    values, notes = flair_volume((10, 10, 10)).astype(np.float32), Notes()
    values[0], values[1, 0, 0] = np.nan, -np.inf
    write_nifti(tmp_path / "v.nii.gz", values)
    read = images.load_volume(tmp_path, "v.nii.gz", notes)
    np.testing.assert_array_equal(read, np.where(np.isfinite(values), values, 0))
    wanted = (
        "v.nii.gz",
        "not_finite",
        "101 of 1000 voxels are not finite; they count as 0, the smallest value",
        "kept",
    )
    assert [(note.file, note.kind, note.reason, note.action) for note in notes] == [wanted]
    values[:9] = np.nan
    write_nifti(tmp_path / "v.nii.gz", values)
    assert np.ptp(images.load_volume(tmp_path, "v.nii.gz", notes)) > 0
    values[9, 0, 0] = np.inf
    write_nifti(tmp_path / "v.nii.gz", values)
    with pytest.raises(
        images.UnreadableImage, match=r"v\.nii\.gz: 901 of 1000 voxels are not finite"
    ):
        images.load_volume(tmp_path, "v.nii.gz", notes)


def test_upright_puts_anterior_up():
    axial = np.zeros((4, 6))
    axial[0, 5] = 1  # left, anterior
    assert images.upright(axial).shape == (6, 4)
    assert images.upright(axial)[0, 0] == 1


@pytest.mark.parametrize("break_it", ["truncate", "text", "flat"])
def test_broken_volumes_are_unreadable_and_named(tmp_path, break_it):
    path = tmp_path / "v.nii.gz"
    write_nifti(path, flair_volume())
    if break_it == "truncate":
        path.write_bytes(path.read_bytes()[:2000])
    elif break_it == "text":
        path.write_text("no volume")
    else:
        write_nifti(path, noise((8, 8)))
    with pytest.raises(images.UnreadableImage, match=r"v\.nii\.gz"):
        images.read_volume(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_to_integers_spans_the_type_and_is_monotone(dtype):
    image = np.array([[-3.0, 0.0], [1.0, 5.0]])
    result = images.to_integers(image, dtype)
    assert result.dtype == dtype
    top = np.iinfo(dtype).max
    np.testing.assert_allclose(result / top, (image + 3) / 8, atol=0.51 / top)
    with pytest.raises(ValueError, match="constant"):
        images.to_integers(np.ones((3, 3)), dtype)


def test_constant_images_and_images_without_finite_values():
    assert images.is_constant(np.full((4, 4), 7))
    assert images.is_constant(np.array([[0.0, np.nan]]))
    assert not images.is_constant(np.array([[0.0, 1.0]]))


def test_resize_keeps_the_mean_and_antialiases():
    image = noise((64, 96)).astype(np.float32)
    small = images.resize(image, 16)
    assert small.shape == (16, 16)
    assert small.mean() == pytest.approx(image.mean(), rel=0.02)
    assert small.std() < 0.5 * image.std()  # a nearest-neighbour resize would keep the noise
    np.testing.assert_array_equal(images.resize(image[:, :64], 64), image[:, :64])


def test_mask_is_resized_with_its_image():
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 8:24] = 4
    small = images.resize_mask(mask, 16)
    assert set(np.unique(small)) == {0, 1}
    assert small.sum() == pytest.approx((mask > 0).sum() / 16, rel=0.1)
    np.testing.assert_array_equal(images.resize_mask(mask, 64), mask > 0)
