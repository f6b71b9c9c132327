"""Writes tiny data trees in the true layouts, a few files each, for tests to read and break."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import openpyxl
import tifffile
from PIL import Image

CHEXPERT_COLUMNS = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged "
    "Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,"
    "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
).split(",")
UCSF_COLUMNS = (
    "ID,Sex,Age at MRI,WHO CNS Grade,Final pathologic diagnosis (WHO 2021),MGMT "
    "status,MGMT index,1p/19q,IDH,1-dead 0-alive,OS,EOR,"
    "Biopsy prior to imaging,BraTS21 ID,BraTS21 Segmentation Cohort,BraTS21 MGMT Cohort"
).split(",")
NIH_COLUMNS = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View "
    "Position,OriginalImage[Width,Height],"
    "OriginalImagePixelSpacing[x,y]"
).split(",")
LGG_COLUMNS = (
    "Patient,RNASeqCluster,MethylationCluster,miRNACluster,CNCluster,RPPACluster,OncosignCluster,COCCluster,histological_type,"
    "neoplasm_histologic_grade,tumor_tissue_site,laterality,tumor_location,gender,age_at_initial_pathologic,race,ethnicity,death01"
).split(",")
DEMO_COLUMNS = ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")
GLIOBLASTOMA = "Glioblastoma, IDH-wildtype"


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Smooth-free random grey values, different for every seed."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_csv(path: Path, columns: list[str] | tuple[str, ...], rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


# --- CheXpert


def chexpert_row(
    patient: int,
    study: int = 1,
    view: str = "view1_frontal",
    prefix: str = "CheXpert-v1.0-small/",
    **values,
) -> dict:
    """One row of train.csv; values override columns."""
    return {
        "Path": f"{prefix}train/patient{patient:05d}/study{study}/{view}.jpg",
        "Sex": "Female",
        "Age": "68",
        "Frontal/Lateral": "Lateral" if "lateral" in view else "Frontal",
        "AP/PA": "" if "lateral" in view else "AP",
        **values,
    }


def write_demo(path: Path, people: list[tuple[str, str, str]]) -> None:
    """CHEXPERT DEMO.xlsx with (patient, gender, race)."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(DEMO_COLUMNS)
    for patient, gender, race in people:
        sheet.append([patient, gender, 60, race, "Non-Hispanic/Non-Latino"])
    book.save(path)


def write_chexpert(
    root: Path,
    rows: list[dict],
    people: list[tuple[str, str, str]] | None = None,
    images: bool = True,
) -> Path:
    """root/CheXpert-v1.0-small/{train.csv, train/...} and root/CHEXPERT DEMO.xlsx (unless people is
    None).
    """
    folder = root / "CheXpert-v1.0-small"
    write_csv(folder / "train.csv", CHEXPERT_COLUMNS, rows)
    if people is not None:
        write_demo(root / "CHEXPERT DEMO.xlsx", people)
    for seed, row in enumerate(rows):
        parts = row["Path"].split("/")[-4:]
        path = folder.joinpath(*parts)
        if images and ".." not in parts and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise((39, 32), seed)).save(path, quality=95)
    return root


# --- UCSF-PDGM


def ucsf_row(identifier: str, **values) -> dict:
    return {
        "ID": identifier,
        "Sex": "M",
        "Age at MRI": "61",
        "WHO CNS Grade": "4",
        UCSF_COLUMNS[4]: GLIOBLASTOMA,
        **values,
    }


def flair_volume(shape: tuple[int, int, int] = (24, 24, 8), seed: int = 0) -> np.ndarray:
    """int16 volume whose first and last slices are empty."""
    volume = np.random.default_rng(seed).integers(1, 2000, shape).astype(np.int16)
    volume[..., 0] = volume[..., -1] = 0
    return volume


def tumor_mask(shape: tuple[int, int, int] = (24, 24, 8)) -> np.ndarray:
    """uint8 mask with values 0, 1, 2, 4 in slices 2 to 4."""
    mask = np.zeros(shape, np.uint8)
    mask[6:18, 8:16, 2:5] = 2
    mask[9:12, 9:12, 3] = 1
    mask[12:15, 10:12, 3] = 4
    return mask


def write_nifti(
    path: Path, values: np.ndarray, slope: float | None = None, affine: np.ndarray | None = None
) -> None:
    """Writes stored values as they are; `slope` goes into the header, so that readers must
    multiply.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine)
    image.header.set_data_dtype(values.dtype)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
        image = nibabel.Nifti1Image((values * slope).astype(np.float32), image.affine, image.header)
    nibabel.save(image, path)


def write_exam(
    root: Path,
    name: str,
    seed: int = 0,
    nested: bool = False,
    suffix: str = ".nii.gz",
    volume=None,
    mask=None,
) -> Path:
    """root/UCSF-PDGM-v3/<name>_nifti/<name>_{FLAIR,tumor_segmentation}.nii.gz; nested mirrors have
    name.nii/name.nii.
    """
    folder = root / "UCSF-PDGM-v3" / f"{name}_nifti"
    for kind, values in (
        ("FLAIR", flair_volume(seed=seed) if volume is None else volume),
        ("tumor_segmentation", mask),
    ):
        file = f"{name}_{kind}{suffix}"
        values = tumor_mask() if values is None else values
        write_nifti(folder / file / file if nested else folder / file, values)
    return folder


def write_ucsf(
    root: Path, exams: list[tuple[str, str]], rows: list[dict] | None = None, version: str = "v2"
) -> Path:
    """Exams as (id in the table, folder stem)."""
    for seed, (_, stem) in enumerate(exams):
        write_exam(root, stem, seed)
    rows = [ucsf_row(identifier) for identifier, _ in exams] if rows is None else rows
    write_csv(root / f"UCSF-PDGM-metadata_{version}.csv", UCSF_COLUMNS, rows)
    return root


# --- NIH ChestX-ray14


def nih_row(patient: int, follow_up: int = 0, **values) -> dict:
    return {
        "Image Index": f"{patient:08d}_{follow_up:03d}.png",
        "Finding Labels": "No Finding",
        "Follow-up #": follow_up,
        "Patient ID": patient,
        "Patient Age": 58,
        "Patient Gender": "M",
        "View Position": "PA",
        **values,
    }


def write_nih(
    root: Path, rows: list[dict], folder: str = "images", table: str = "Data_Entry_2017_v2020.csv"
) -> Path:
    write_csv(root / table, NIH_COLUMNS, rows)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, row in enumerate(rows):
        if "/" not in row["Image Index"]:
            Image.fromarray(noise((32, 32), seed)).save(root / folder / row["Image Index"])
    return root


# --- LGG


def lgg_row(patient: str, **values) -> dict:
    return {
        "Patient": patient,
        "gender": "1.0",
        "age_at_initial_pathologic": "44.0",
        "race": "3.0",
        "neoplasm_histologic_grade": "2.0",
        **values,
    }


def write_slice(
    folder: Path,
    number: int,
    seed: int,
    mask: np.ndarray | None = None,
    image: np.ndarray | None = None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{folder.name}_{number}"
    if mask is None:
        mask = np.zeros((32, 32), np.uint8)
        mask[8:16, 8:24] = 255
    tifffile.imwrite(f"{stem}.tif", noise((32, 32, 3), seed) if image is None else image)
    tifffile.imwrite(f"{stem}_mask.tif", mask)


def write_lgg(
    root: Path, patients: list[str], slices: int = 3, rows: list[dict] | None = None
) -> Path:
    for index, patient in enumerate(patients):
        for number in range(1, slices + 1):
            write_slice(root / f"{patient}_19960909", number, 100 * index + number)
    write_csv(
        root / "data.csv",
        LGG_COLUMNS,
        [lgg_row(patient) for patient in patients] if rows is None else rows,
    )
    return root
