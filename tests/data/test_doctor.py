import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fairrecon_jax.data import CohortConfig, make_splits, open_cohort, prepare, write_splits
from fairrecon_jax.data.doctor import examine
from tests.support.trees import (
    chexpert_row,
    lgg_row,
    nih_row,
    tumor_mask,
    write_chexpert,
    write_csv,
    write_lgg,
    write_nifti,
    write_nih,
    write_ucsf,
)


def report(name, root, **fields):
    chosen = {key: fields.pop(key) for key in list(fields) if key in ("splits_path", "examples")}
    return examine(
        name, root, CohortConfig(name, image_size=16, **fields), progress=False, **chosen
    )


def finding_of(result, kind):
    return next(finding for finding in result.findings if finding.kind == kind)


def healthy_nih(root, patients=44):
    findings = ("Hernia", "No Finding")
    return write_nih(
        root,
        [
            nih_row(
                n,
                **{
                    "Patient Gender": "MF"[n % 2],
                    "Patient Age": 20 + n,
                    "Finding Labels": findings[n // 2 % 2],
                },
            )
            for n in range(1, patients + 1)
        ],
    )


def test_a_healthy_tree_is_ok(tmp_path):
    result = report("nih_chestxray14", healthy_nih(tmp_path), tasks=("hernia",))
    assert result.ok
    assert result.findings == ()
    assert (result.images, result.patients) == (44, 44)
    text = result.text()
    assert "44 usable images of 44 patients" in text
    assert text.endswith("No errors.")


def test_counts_per_group_and_label(tmp_path):
    result = report("nih_chestxray14", healthy_nih(tmp_path), tasks=("hernia",), age_cut=30)
    counts = result.counts.set_index(["attribute", "group"])
    assert counts.loc[
        ("", ""), ["patients", "images", "positive", "negative", "unknown"]
    ].tolist() == [44, 44, 22, 22, 0]
    assert counts.loc[("sex", "female"), "patients"] == 22
    assert counts.loc[("age", "under 30"), "patients"] == 9
    small = finding_of(result, "small_group")
    assert small.examples == ("age under 30: 9 patients",)
    assert small.severity == "warning"
    lines = [line.split() for line in result.text().splitlines()]
    assert ["patients", "images", "hernia"] in lines
    assert ["all", "44", "44", "22/22/0"] in lines
    assert ["age", "under", "30", "9", "9", "5/4/0"] in lines
    assert result.ok


def test_nih_tree_with_everything_wrong(tmp_path):
    root = healthy_nih(tmp_path)
    table = root / "Data_Entry_2017_v2020.csv"
    lines = table.read_text().splitlines()
    lines += [
        lines[1],
        "00000098_000.png,Dragon,0,98,44,,PA,1,1,1,1",
        "00000097_000.png,Hernia,0,97,300,F,PA,1,1,1,1",
    ]
    lines += ["../00000096_000.png,Hernia,0,96,30,F,PA,1,1,1,1"]
    table.write_text("\n".join(lines) + "\n")
    images = root / "images"
    shutil.copy(images / "00000001_000.png", images / "00000098_000.png")
    Image.fromarray(np.eye(40, 32, dtype=np.uint8) * 255).save(images / "00000097_000.png")
    (images / "00000002_000.png").unlink()
    (images / "00000003_000.png").write_bytes((images / "00000003_000.png").read_bytes()[:200])
    Image.new("L", (32, 32), 7).save(images / "00000004_000.png")
    (root / "train_val_list.txt").write_text("00000005_000.png\n00000006_000.png\n")
    (root / "test_list.txt").write_text("00000005_001.png\n")
    result = report("nih_chestxray14", root)
    assert not result.ok
    expected = {
        "missing_file": "error",
        "unreadable": "error",
        "constant": "warning",
        "duplicate": "error",
        "outside_root": "error",
        "unknown_label": "error",
        "missing_sex": "warning",
        "missing_age": "warning",
        "leaking_images": "error",
        "leaking_lists": "error",
        "inconsistent_shape": "note",
        "one_class": "warning",
    }
    for kind, severity in expected.items():
        finding = finding_of(result, kind)
        assert finding.severity == severity, kind
        assert finding.count == (13 if kind == "one_class" else 1), (kind, finding)
    assert finding_of(result, "leaking_images").examples == ("00000001_000 = 00000098_000",)
    assert "00000005" in finding_of(result, "leaking_lists").examples[0]
    assert "00000003_000.png" in finding_of(result, "unreadable").examples[0]
    severities = [finding.severity for finding in result.findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    text = result.text()
    assert "ERROR   unreadable x 1" in text
    assert "[left out]" in text
    assert "7 kinds of error" in text


def test_examples_are_limited_and_the_rest_is_counted(tmp_path):
    root = healthy_nih(tmp_path)
    for n in range(1, 9):
        (root / f"images/{n:08d}_000.png").unlink()
    result = report("nih_chestxray14", root, examples=3)
    assert finding_of(result, "missing_file").count == 8
    assert len(finding_of(result, "missing_file").examples) == 3
    assert "... and 5 more" in result.text()
    assert result.count("missing_file") == 8
    assert result.count("unreadable") == 0


def test_repeated_image_within_a_patient_is_a_warning(tmp_path):
    root = write_nih(tmp_path, [nih_row(1, 0), nih_row(1, 1), nih_row(2)])
    shutil.copy(root / "images/00000001_000.png", root / "images/00000001_001.png")
    result = report("nih_chestxray14", root)
    assert finding_of(result, "repeated_images").examples == ("00000001_000 = 00000001_001",)
    assert result.ok


def test_trees_that_cannot_be_read_at_all_are_reports_too(tmp_path):
    result = report("chexpert", tmp_path)
    assert not result.ok
    assert "train.csv" in finding_of(result, "table").examples[0]
    assert "train.csv" in result.text()
    result = report("lgg_mri", tmp_path / "nowhere")
    assert "no data folder" in finding_of(result, "table").examples[0]
    with pytest.raises(ValueError, match="no cohort 'x'"):
        examine("x", tmp_path)
    with pytest.raises(ValueError, match="the configuration is of 'lgg_mri', not of 'chexpert'"):
        examine("chexpert", tmp_path, CohortConfig("lgg_mri"))


def test_chexpert_patients_in_train_and_valid_leak(tmp_path):
    rows = [chexpert_row(n, Sex=("Male", "Female")[n % 2], Age=str(50 + n)) for n in range(1, 6)]
    root = write_chexpert(tmp_path, rows)
    header = (root / "CheXpert-v1.0-small/train.csv").read_text().splitlines()[0].split(",")
    write_csv(
        root / "CheXpert-v1.0-small/valid.csv", header, [chexpert_row(3), chexpert_row(64541)]
    )
    result = report("chexpert", root)
    assert finding_of(result, "leaking_lists").examples == (
        "patient patient00003 is in train and in valid",
    )
    assert finding_of(result, "missing_table").severity == "warning"
    assert "CHEXPERT DEMO.xlsx" in finding_of(result, "missing_table").examples[0]


def test_brain_tree_with_mask_trouble(tmp_path):
    root = write_ucsf(tmp_path, [(f"UCSF-PDGM-{n:03d}", f"UCSF-PDGM-{n:04d}") for n in (4, 5, 6)])
    folder = root / "UCSF-PDGM-v3"
    write_nifti(
        folder / "UCSF-PDGM-0005_nifti/UCSF-PDGM-0005_tumor_segmentation.nii.gz",
        tumor_mask((24, 24, 9)),
    )
    (folder / "UCSF-PDGM-0006_nifti/UCSF-PDGM-0006_FLAIR.nii.gz").write_bytes(b"\x1f\x8b broken")
    result = report("ucsf_pdgm", root)
    assert finding_of(result, "mask_shape").severity == "error"
    assert "(24, 24, 9)" in finding_of(result, "mask_shape").examples[0]
    assert "UCSF-PDGM-0006_FLAIR.nii.gz" in finding_of(result, "unreadable").examples[0]
    assert finding_of(result, "constant").severity == "note", (
        "empty slices at the ends of a volume are no error"
    )
    assert (result.images, result.patients) == (6, 1)


def test_background_that_is_not_finite_is_a_warning_and_hardly_any_finite_voxel_an_error(tmp_path):
    root = write_ucsf(tmp_path, [(f"UCSF-PDGM-{n:03d}", f"UCSF-PDGM-{n:04d}") for n in (4, 5, 6)])
    for name, rows in (("0005", 20), ("0006", 23)):
        volume = np.random.default_rng(int(name)).random((24, 24, 8), np.float32)
        volume[:rows] = np.nan
        write_nifti(
            root / f"UCSF-PDGM-v3/UCSF-PDGM-{name}_nifti/UCSF-PDGM-{name}_FLAIR.nii.gz", volume
        )
    result = report("ucsf_pdgm", root)
    assert finding_of(result, "not_finite").severity == "warning"
    assert (
        "UCSF-PDGM-0005_FLAIR.nii.gz: 3840 of 4608 voxels are not finite"
        in finding_of(result, "not_finite").examples[0]
    )
    assert finding_of(result, "unreadable").severity == "error"
    assert (
        "UCSF-PDGM-0006_FLAIR.nii.gz: 4416 of 4608 voxels are not finite"
        in finding_of(result, "unreadable").examples[0]
    )
    assert (result.images, result.patients) == (14, 2), (
        "two of the eight slices of the first exam are empty"
    )


def test_copied_patient_leaks(tmp_path):
    root = write_lgg(
        tmp_path,
        ["TCGA_CS_0001", "TCGA_CS_0002"],
        rows=[lgg_row("TCGA_CS_0001"), lgg_row("TCGA_CS_0002", race="")],
    )
    for n in (1, 2, 3):
        source = root / f"TCGA_CS_0001_19960909/TCGA_CS_0001_19960909_{n}.tif"
        shutil.copy(source, root / f"TCGA_CS_0002_19960909/TCGA_CS_0002_19960909_{n}.tif")
    result = report("lgg_mri", root)
    assert finding_of(result, "leaking_images").count == 3
    assert (
        "TCGA_CS_0001_19960909/1 = TCGA_CS_0002_19960909/1"
        in finding_of(result, "leaking_images").examples
    )
    assert finding_of(result, "missing_race").count == 1


def test_of_many_identical_images_three_are_named(tmp_path):
    root = healthy_nih(tmp_path / "tree")
    files = sorted((root / "images").glob("*.png"))[:5]
    for file in files[1:]:
        shutil.copy(files[0], file)
    (named,) = finding_of(report("nih_chestxray14", root), "leaking_images").examples
    first = [file.stem for file in files[:3]]
    assert named == f"{' = '.join(first)} = ... (5 images)"


def test_splits_file_is_checked_along(tmp_path):
    root = healthy_nih(tmp_path / "tree")
    config = CohortConfig("nih_chestxray14", image_size=16, tasks=("hernia",))
    prepare(config, root, tmp_path / "out", progress=False)
    cohort = open_cohort(config, tmp_path / "out")
    path = tmp_path / "splits.json"
    write_splits(path, make_splits(cohort.table, cohort.spec))
    assert report("nih_chestxray14", root, tasks=("hernia",), splits_path=path).ok
    content = json.loads(path.read_text())
    content["parts"]["test"].append(content["parts"]["train"][0])
    path.write_text(json.dumps(content))
    result = report("nih_chestxray14", root, tasks=("hernia",), splits_path=path)
    assert "is in more than one part" in finding_of(result, "splits").examples[0]
    write_splits(tmp_path / "few.json", make_splits(cohort.table.iloc[:20], cohort.spec))
    result = report("nih_chestxray14", root, tasks=("hernia",), splits_path=tmp_path / "few.json")
    assert finding_of(result, "splits").count == 24
    assert not result.ok


def test_nothing_is_written(tmp_path):
    root = healthy_nih(tmp_path / "tree", 4)
    before = sorted(tmp_path.rglob("*"))
    report("nih_chestxray14", root)
    assert sorted(tmp_path.rglob("*")) == before


def test_real_samples_have_no_errors(samples):
    result = report("nih_chestxray14", samples / "nih_chestxray14")
    assert result.ok
    assert result.patients == 456
    result = report("lgg_mri", samples / "kaggle_3m", slices=(8, 8))
    assert result.ok
    assert result.patients == 40
    assert finding_of(result, "missing_sex").count == 1
