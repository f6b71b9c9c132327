"""What a file says about its own pixels: orientation, photometric meaning, palettes, affines,
complex values; and masks under their own rules.
"""

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from nibabel.processing import resample_from_to
from PIL import Image, ImageOps
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from fairrecon_jax.data import images
from fairrecon_jax.data.formats import read_dicom, read_mask, read_picture
from fairrecon_jax.data.notes import Notes
from tests.support.trees import flair_volume, noise, tumor_mask, write_nifti

LPS = np.array([[-2.0, 0, 0, 30], [0, -2, 0, 40], [0, 0, 3, -10], [0, 0, 0, 1]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
def test_images_are_turned_as_pillow_turns_them(tmp_path, orientation, kind):
    grey = Image.fromarray(np.kron(noise((4, 6)), np.ones((8, 8), np.uint8)))
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, np.asarray(grey), extratags=tags)
        shown = grey
        shown.getexif()[274] = orientation
        want = np.asarray(ImageOps.exif_transpose(shown), np.float32)
        np.testing.assert_array_equal(images.turned(np.asarray(grey), orientation), want)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        grey.save(path, exif=exif)
        with Image.open(path) as stored:
            want = np.asarray(ImageOps.exif_transpose(stored), np.float32)
        np.testing.assert_array_equal(images.read_grey(path), want)
    np.testing.assert_array_equal(read_picture(path).values[0], want)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_white_is_zero(tmp_path, dtype):
    values = (noise((16, 24)) > 128) if dtype is bool else noise((16, 24)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    want = ~values if dtype is bool else np.iinfo(dtype).max - values
    np.testing.assert_array_equal(images.read_tiff(tmp_path / "a.tif"), want)


def test_white_is_zero_of_a_compression_that_only_pillow_reads(tmp_path):
    values = noise((16, 24)).astype(np.uint16) * 3
    tags = {262: 0}
    Image.fromarray(values).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo=tags)
    with Image.open(tmp_path / "a.tif") as stored:
        photometric = stored.tag_v2[262]
    want = 65535 - values if photometric == 0 else values
    np.testing.assert_array_equal(images.read_tiff(tmp_path / "a.tif"), want)


def test_colours_of_a_palette_count_and_not_their_numbers(tmp_path):
    index = noise((16, 24)) % 4
    palette = np.zeros((3, 256), np.uint16)
    palette[:, 3] = 65535
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=palette)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.values[0] > 0, index == 3)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif").values[0] > 0, index == 3)


def test_several_images_in_one_file_are_no_image(tmp_path):
    frames = [Image.fromarray(noise((8, 8), seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    tifffile.imwrite(tmp_path / "a.tif", np.stack([noise((8, 8))] * 5))
    for name in ("a.gif", "a.tif"):
        with pytest.raises(images.UnreadableImage, match=name):
            read_picture(tmp_path / name)


def test_of_complex_volumes_the_magnitude(tmp_path):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(6, 7, 5)) + 1j * rng.normal(size=(6, 7, 5))).astype(np.complex64)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii.gz")
    np.testing.assert_allclose(images.read_volume(tmp_path / "v.nii.gz"), abs(values), rtol=1e-6)


def test_one_grid_stored_in_two_ways_is_one_grid(tmp_path):
    values, mask = flair_volume(), tumor_mask()
    write_nifti(tmp_path / "image.nii.gz", values, affine=LPS)
    # the same voxels, listed from the other end of the first axis
    other = LPS @ np.array([[-1.0, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write_nifti(tmp_path / "mask.nii.gz", mask[::-1], affine=other)
    notes = Notes()
    assert images.same_place(tmp_path, "image.nii.gz", "mask.nii.gz", notes)
    placed = resample_from_to(
        nibabel.load(tmp_path / "mask.nii.gz"), nibabel.load(tmp_path / "image.nii.gz"), order=0
    )
    want = nibabel.as_closest_canonical(placed).get_fdata()
    np.testing.assert_array_equal(images.read_volume(tmp_path / "mask.nii.gz"), want)


@pytest.mark.parametrize(
    ("change", "apart"),
    [
        (lambda a: np.eye(4), True),
        (lambda a: a + np.array([[0, 0, 0, 0.9]] + [[0] * 4] * 3), False),
        (lambda a: a + np.array([[0, 0, 0, 1.1]] + [[0] * 4] * 3), True),
        (lambda a: a @ np.diag([1.2, 1.2, 1.2, 1.0]), True),
    ],
)
def test_masks_elsewhere_in_the_world_are_refused(tmp_path, change, apart):
    write_nifti(tmp_path / "image.nii.gz", flair_volume(), affine=LPS)
    write_nifti(tmp_path / "mask.nii.gz", tumor_mask(), affine=change(LPS))
    notes = Notes()
    assert images.same_place(tmp_path, "image.nii.gz", "mask.nii.gz", notes) is not apart
    assert [note.kind for note in notes] == ["mask_place"] * apart


def test_what_is_not_finite_lies_outside_of_a_mask(tmp_path):
    mask = np.full((6, 7, 5), np.nan, np.float32)
    mask[2:4, 2:4, 2:4] = 1
    write_nifti(tmp_path / "m.nii.gz", mask)
    notes = Notes()
    read = images.load_mask_volume(tmp_path, "m.nii.gz", notes)
    np.testing.assert_array_equal(read, np.nan_to_num(mask))
    assert [note.kind for note in notes] == ["not_finite"]
    flat = np.where(np.arange(64).reshape(8, 8) < 20, 1.0, np.nan)
    np.testing.assert_array_equal(images.resize_mask(flat, 8), np.nan_to_num(flat))


def test_masks_in_colour_and_with_transparency(tmp_path):
    red = np.zeros((8, 8, 4), np.uint8)
    red[2:4, 2:4] = (200, 0, 0, 255)
    red[6:, 6:] = (255, 255, 255, 0)  # white that nobody sees
    Image.fromarray(red).save(tmp_path / "m.png")
    inside = read_mask(tmp_path / "m.png").values[0] > 0
    assert inside.sum() == 4
    assert inside[2:4, 2:4].all()


def dicom(path, pixels, **fields):
    """A DICOM file with the given pixels."""
    file = pydicom.Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    frames = pixels.shape[0] if pixels.ndim == 3 else None
    file.Rows, file.Columns = pixels.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelRepresentation = 0
    if frames:
        file.NumberOfFrames = frames
    for name, value in fields.items():
        setattr(file, name, value)
    file.PixelData = pixels.astype("<u2").tobytes()
    file.save_as(path, enforce_file_format=True)
    return path


RAW = (np.arange(48 * 40).reshape(48, 40) * 2) % 4096


def test_dicom_is_rescaled_and_windowed(tmp_path):
    plain = dicom(tmp_path / "a.dcm", RAW, RescaleSlope=2, RescaleIntercept=-1000)
    np.testing.assert_allclose(read_dicom(plain)[0], RAW * 2.0 - 1000)
    fields = {"RescaleSlope": 1, "RescaleIntercept": -1000, "WindowCenter": 500, "WindowWidth": 401}
    windowed = dicom(tmp_path / "b.dcm", RAW, **fields)
    # PS3.3 C.11.2.1.2.1, linear: output from ymin to ymax
    x = RAW - 1000.0
    share = np.clip((x - 499.5) / 400 + 0.5, 0, 1)
    found = read_dicom(windowed)[0]
    np.testing.assert_allclose((found - found.min()) / np.ptp(found), share, atol=1e-5)
    np.testing.assert_allclose(read_dicom(windowed, "none")[0], x)
    np.testing.assert_allclose(read_dicom(windowed, (0.0, 200.0))[0], x.clip(-100, 100))


def test_monochrome1_is_inverted_and_padding_is_black(tmp_path):
    inverted = dicom(tmp_path / "a.dcm", RAW, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_dicom(inverted)[0], -RAW.astype(np.float32))
    padded = RAW.copy()
    padded[:5] = 4095
    path = dicom(tmp_path / "b.dcm", padded, PixelPaddingValue=4095)
    found = read_dicom(path)[0]
    assert (found[:5] == padded[5:].min()).all()
    np.testing.assert_array_equal(found[5:], padded[5:])


def test_frames_of_dicom_are_slices_and_content_counts_not_the_ending(tmp_path):
    dicom(tmp_path / "a", np.stack([RAW, RAW[::-1]]))
    picture = read_picture(tmp_path / "a")
    assert picture.kind == "dicom"
    np.testing.assert_array_equal(picture.values, np.stack([RAW, RAW[::-1]]))
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "a").read_bytes()[:900])
    with pytest.raises(images.UnreadableImage, match=r"cut\.dcm"):
        read_picture(tmp_path / "cut.dcm")
    tifffile.imwrite(tmp_path / "b.jpg", RAW.astype(np.uint16))
    np.testing.assert_array_equal(read_picture(tmp_path / "b.jpg").values[0], RAW)


def test_planes_of_colours_and_complex_values_of_tiff(tmp_path):
    colours = noise((16, 24, 3))
    planes = np.moveaxis(colours, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(images.read_tiff(tmp_path / "a.tif"), colours)
    values = (noise((16, 24)) * np.exp(1j)).astype(np.complex64)
    tifffile.imwrite(tmp_path / "b.tif", values)
    np.testing.assert_allclose(images.read_tiff(tmp_path / "b.tif"), abs(values), rtol=1e-6)


def test_sixteen_bits_are_turned_too(tmp_path):
    deep = noise((8, 12)).astype(np.uint16) * 256
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(deep).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").values[0], np.rot90(deep, -1))
