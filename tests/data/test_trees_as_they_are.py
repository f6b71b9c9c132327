"""Trees of the named cohorts that were copied, linked, converted or turned by others."""

import os

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from fairrecon_jax.data import CohortConfig, prepare
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import find
from fairrecon_jax.types import InputError
from tests.support.trees import (
    LGG_COLUMNS,
    chexpert_row,
    flair_volume,
    lgg_row,
    nih_row,
    noise,
    tumor_mask,
    write_chexpert,
    write_csv,
    write_exam,
    write_lgg,
    write_nifti,
    write_nih,
    write_slice,
    write_ucsf,
)


def read(name, root, size=32):
    """(doctor's report, samples that `prepare` would store)."""
    config, notes, builder = CohortConfig(name, image_size=size), Notes(), find(name)
    report = examine(name, root, config, progress=False)
    records = builder.records(root, config, notes)
    return report, list(builder.samples(root, records, config, notes))


def test_turned_jpegs_are_stored_upright(tmp_path):
    root = write_chexpert(tmp_path, [chexpert_row(n) for n in (1, 2, 3)], images=False)
    shown = np.add.outer(np.arange(64) * 3, np.arange(64)).astype(np.uint8)
    for number, turn in ((1, 3), (2, 6), (3, 8)):
        path = root / f"CheXpert-v1.0-small/train/patient{number:05d}/study1/view1_frontal.jpg"
        path.parent.mkdir(parents=True)
        exif = Image.Exif()
        exif[274] = turn
        Image.fromarray(noise((64, 64), number) // 8 + shown // 2).save(path, exif=exif)
    _, samples = read("chexpert", root)
    for sample in samples:
        path = next(root.rglob(f"{sample.patient_id}/study1/*.jpg"))
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file).convert("F").resize((32, 32), 2)
        assert np.corrcoef(np.asarray(upright).ravel(), sample.image.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("part", ["images_002", "images_002/images"])
def test_linked_folders_are_part_of_the_tree(tmp_path, part):
    rows = [nih_row(n) for n in range(1, 7)]
    root = write_nih(tmp_path / "tree", rows, "images_001/images")
    store = tmp_path / "store" / ("images" if part == "images_002" else "")
    store.mkdir(parents=True)
    for number in (4, 5, 6):
        file = f"{number:08d}_000.png"
        (root / "images_001/images" / file).rename(store / file)
    (root / part).parent.mkdir(exist_ok=True)
    os.symlink(tmp_path / "store", root / part)
    report, samples = read("nih_chestxray14", root)
    assert (report.ok, len(samples)) == (True, 6)


def test_one_folder_linked_twice_is_one_image(tmp_path):
    root = write_nih(tmp_path / "tree", [nih_row(1)], "images_001/images")
    os.symlink(root / "images_001", root / "images_002")
    report, samples = read("nih_chestxray14", root)
    assert (len(samples), report.count("duplicate")) == (1, 0)


def test_other_capitals_are_the_same_names(tmp_path):
    nih = write_nih(tmp_path / "nih", [nih_row(1)], table="data_entry_2017.CSV")
    (nih / "images/00000001_000.png").rename(nih / "images/00000001_000.PNG")
    chexpert = write_chexpert(tmp_path / "chexpert", [chexpert_row(1)])
    file = next(chexpert.rglob("view1_frontal.jpg"))
    file.rename(file.with_suffix(".JPG"))
    ucsf = write_ucsf(tmp_path / "ucsf", [("UCSF-PDGM-004", "UCSF-PDGM-0004")])
    for path in list(ucsf.rglob("*.nii.gz")):
        path.rename(path.with_name(path.name.lower()))
    lgg = write_lgg(tmp_path / "lgg", ["TCGA_CS_0001"])
    for path in list(lgg.rglob("*.tif")):
        path.rename(path.with_name(path.name.replace("_mask", "_MASK").replace(".tif", ".TIF")))
    for name, root, count in (
        ("nih_chestxray14", nih, 1),
        ("chexpert", chexpert, 1),
        ("ucsf_pdgm", ucsf, 6),
        ("lgg_mri", lgg, 3),
    ):
        report, samples = read(name, root)
        assert (report.count("missing_file"), len(samples)) == (0, count), name


def test_a_file_that_is_missing_is_not_replaced_by_that_of_another_patient(tmp_path):
    root = write_chexpert(tmp_path, [chexpert_row(1), chexpert_row(2)])
    next(root.rglob("patient00002/study1/*.jpg")).unlink()
    report, samples = read("chexpert", root)
    assert (report.count("missing_file"), len(samples)) == (1, 1)


def test_complex_volumes_are_read_as_their_magnitude(tmp_path):
    root = write_ucsf(tmp_path, [("UCSF-PDGM-004", "UCSF-PDGM-0004")])
    path = next(root.rglob("*_FLAIR.nii.gz"))
    values = flair_volume((32, 32, 8)).astype(np.complex64)
    phase = np.exp(1j * np.linspace(0, 40, 32))[:, None, None]
    nibabel.save(nibabel.Nifti1Image((values * phase).astype(np.complex64), np.eye(4)), path)
    write_nifti(next(root.rglob("*_tumor*")), tumor_mask((32, 32, 8)))
    _, samples = read("ucsf_pdgm", root)
    for sample in samples:
        truth = np.rot90(abs(values[:, :, sample.columns["slice"]]))
        assert np.corrcoef(truth.ravel(), sample.image.ravel())[0, 1] > 0.9999


def test_a_mask_that_lost_its_header_is_refused_by_name_and_prepare_says_so(tmp_path):
    root = write_ucsf(tmp_path / "tree", [("UCSF-PDGM-004", "UCSF-PDGM-0004")] * 1)
    write_exam(root, "UCSF-PDGM-0005", 5)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    write_nifti(next(root.rglob("UCSF-PDGM-0004_FLAIR*")), flair_volume(), affine=lps)
    report, samples = read("ucsf_pdgm", root)
    assert not report.ok
    assert report.count("mask_place") == 1
    assert {sample.patient_id for sample in samples} == {"UCSF-PDGM-0005"}
    with pytest.warns(UserWarning, match=r"mask_place x 1: .*UCSF-PDGM-0004"):
        prepare(CohortConfig("ucsf_pdgm", image_size=16), root, tmp_path / "out", progress=False)


def test_nan_is_outside_of_a_mask(tmp_path):
    root = write_ucsf(tmp_path, [("UCSF-PDGM-004", "UCSF-PDGM-0004")])
    mask = np.where(tumor_mask() > 0, 1.0, np.nan).astype(np.float32)
    write_nifti(next(root.rglob("*_tumor*")), mask)
    _, samples = read("ucsf_pdgm", root, 24)
    share = np.mean([sample.mask.mean() for sample in samples])
    assert 0 < share < 0.3
    assert share == pytest.approx(np.isfinite(mask[..., 1:7]).mean(), abs=1e-6)


def test_masks_whose_white_is_zero(tmp_path):
    inside = np.zeros((32, 32), np.uint8)
    inside[8:16, 8:24] = 255
    folder = tmp_path / "TCGA_CS_0001_19960909"
    for number in (1, 2):
        write_slice(folder, number, number)
        path = folder / f"{folder.name}_{number}_mask.tif"
        tifffile.imwrite(path, 255 - inside, photometric="miniswhite")
    write_csv(tmp_path / "data.csv", LGG_COLUMNS, [lgg_row("TCGA_CS_0001")])
    report, samples = read("lgg_mri", tmp_path)
    assert report.count("mask_values") == 0
    for sample in samples:
        np.testing.assert_array_equal(sample.mask, inside // 255)


def test_a_cohort_of_nothing_usable_is_an_error(tmp_path):
    root = write_nih(tmp_path / "tree", [nih_row(1), nih_row(2)])
    for path in (root / "images").iterdir():
        Image.fromarray(np.full((32, 32), 7, np.uint8)).save(path)
    report = examine("nih_chestxray14", root, progress=False)
    assert not report.ok
    assert report.count("nothing") == 1
    with pytest.raises(InputError, match=r"no file of .* could be used: 2 x constant"):
        prepare(CohortConfig("nih_chestxray14"), root, tmp_path / "out", progress=False)


def test_prepare_says_what_the_doctor_calls_an_error(tmp_path):
    root = write_nih(tmp_path / "tree", [nih_row(n) for n in (1, 2, 3)])
    same = (root / "images/00000001_000.png").read_bytes()
    (root / "images/00000002_000.png").write_bytes(same)
    with pytest.warns(UserWarning, match="leaking_images x 1: .*00000001_000 = 00000002_000"):
        prepare(
            CohortConfig("nih_chestxray14", image_size=16), root, tmp_path / "out", progress=False
        )
