"""Patient tables: what a test of equal changes needs of a cohort, and which cells of it can be
judged.

A unit is a patient, or a patient within one group where an attribute belongs to the image (age). A
table holds, per unit, cell (task, reconstructor) and label, the sum of the changes S and the number
of images N. Everything here is NumPy: the tables are small and nothing has to be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from fairrecon_jax.keys import example_digest
from fairrecon_jax.types import Array

MIN_PATIENTS = 10
UNIT_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: a patient's units never meet modulo 2^64
REASONS = (
    "judged",
    "no images",
    "too few patients",
    "too few effective patients: a few patients hold most of the images",
    "no second group to compare with",
    "no second group within any of the strata",
)
"""Meaning of the codes that `judge_cells` returns."""


class PatientTables(NamedTuple):
    """Tables of U units, K cells that share one attribute, L labels and G groups.

    Attributes:
      change: [U, K, L] S, sum of the changes of the unit's images.
      images: [U, K, L] N >= 0, number of images (or their summed weight).
      group: [U] int group index in 0..G-1.
      patient: [U] uint64 digest of the patient; keys the signs, shared by a patient's units.
      unit: [U] uint64 digest of the unit; keys the permutations.
      stratum: [U] int, or [U, K] where cells differ; groups are permuted within strata only.
      groups: G.
    """

    change: np.ndarray
    images: np.ndarray
    group: np.ndarray
    patient: np.ndarray
    unit: np.ndarray
    stratum: np.ndarray
    groups: int


class Patients(NamedTuple):
    """Patients of N images.

    Attributes:
      codes: [N] number of each image's patient, in 0..P-1.
      digests: [P] uint64 digests of the names.
    """

    codes: np.ndarray
    digests: np.ndarray


class Units(NamedTuple):
    """Units of N images: patients within a group.

    Attributes:
      which: [N] number of each image's unit, -1 where its group is unknown.
      group: [U] int group index.
      patient: [U] uint64 digest of the patient.
      unit: [U] uint64 digest of the unit.
      groups: G.
    """

    which: np.ndarray
    group: np.ndarray
    patient: np.ndarray
    unit: np.ndarray
    groups: int


def patient_digests(patient: Sequence[object] | np.ndarray | Patients) -> Patients:
    """Numbers patients and digests their names.

    Args:
      patient: [N] names or integers, one per image; `Patients` pass through, so that names are
        digested once.

    Returns:
      `Patients`, numbered in sorted order of the names.

    Raises:
      ValueError: `patient` is not a non-empty vector.
    """
    if isinstance(patient, Patients):
        return patient
    names = np.asarray(patient)
    if names.ndim != 1 or names.size == 0:
        raise ValueError(
            f"patient must be a non-empty vector with one name per image, got shape {names.shape}"
        )
    values, codes = np.unique(names.astype(str), return_inverse=True)
    words = np.stack([example_digest(str(name)) for name in values]).astype(np.uint64)
    return Patients(codes.reshape(-1), words[:, 0] << np.uint64(32) | words[:, 1])


def effective_patients(images: Array, axis: int = 0) -> np.ndarray:
    """Kish's effective number of patients, (sum N)^2 / sum N^2.

    Equals the number of patients where all have as many images; one patient with all images counts
    as 1.

    Args:
      images: images (or weights) per patient, >= 0, patients along `axis`.
      axis: the patient axis.

    Returns:
      The input's shape without `axis`; 0 where there are no images.

    Example:
      >>> float(effective_patients([1, 1, 1, 1])), round(float(effective_patients([100, 1, 1])), 2)
      (4.0, 1.04)

    Reference:
      Kish (1965), Survey Sampling, section 11.7.
    """
    n = np.asarray(images, float)
    squares = np.sum(n * n, axis)
    return np.sum(n, axis) ** 2 / np.where(squares > 0, squares, 1)


def cluster_weights(images: Array, correlation: float) -> np.ndarray:
    """Weight of each image of a patient with n images, 1 / (1 + (n - 1) rho).

    rho = 0 weighs images alike (the estimand is the change of a random image), rho = 1 patients
    alike (the change of a random patient); between them, nearly the smallest variance where images
    of a patient correlate by rho. Multiply S and N by it.

    Args:
      images: [...] number of images n of the patient in the stratum.
      correlation: rho in [0, 1].

    Returns:
      [...] weights in (0, 1]; 1 where there are no images.

    Raises:
      ValueError: rho is outside [0, 1].
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation must lie in [0, 1], got {correlation}")
    return 1 / (1 + np.maximum(np.asarray(images, float) - 1, 0) * correlation)


def _problem(values: Array, images: int, name: str) -> np.ndarray:
    """An array [N] or [K, N] as [K, N] floats."""
    array = np.atleast_2d(np.asarray(values, float))
    if array.ndim != 2 or array.shape[1] != images:
        raise ValueError(
            f"{name} must be [{images}] or [K, {images}] (one entry per image), got shape "
            f"{np.shape(values)}"
        )
    return array


def _canonical(group: np.ndarray, digest: np.ndarray, groups: int) -> np.ndarray:
    """Rank of each group in an order that does not depend on its name: by the smallest digest."""
    smallest: np.ndarray = np.full(groups, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, group, digest)
    rank: np.ndarray = np.empty(groups, int)
    rank[np.argsort(smallest, kind="stable")] = np.arange(groups)
    return rank


def patient_units(
    group: Array, patient: Sequence[object] | np.ndarray | Patients, groups: int
) -> Units:
    """The units of images, in an order that depends on neither rows nor names of groups.

    Args:
      group: [N] int group index, anything outside 0..G-1 = unknown.
      patient: [N] patient names, or `Patients`.
      groups: number of groups G.

    Returns:
      `Units`.

    Raises:
      ValueError: shapes disagree.
    """
    codes, digests = patient_digests(patient)
    own = np.asarray(group)
    if own.shape != codes.shape:
        raise ValueError(f"group must hold {codes.size} entries, got shape {own.shape}")
    known = (own >= 0) & (own < groups)
    own = np.where(known, own, 0).astype(int)
    rank = _canonical(own[known], digests[codes[known]], groups)
    order = np.argsort(np.argsort(digests))  # rank of each patient's digest
    # one number per unit that sorts by digest, then by group
    place = order[codes] * groups + rank[own]
    held = np.bincount(place[known], minlength=len(digests) * groups) > 0
    values, which = np.flatnonzero(held), np.where(known, np.cumsum(held)[place] - 1, -1)
    who = values // groups
    digest = np.sort(digests)[who]
    ordinal = np.arange(len(who)) - np.searchsorted(who, who)  # 0 in a patient's first group
    unit = digest + ordinal.astype(np.uint64) * UNIT_STEP
    return Units(which, np.argsort(rank)[values % groups], digest, unit, groups)


def _unit_stratum(stratum: Array | None, which: np.ndarray, units: int) -> np.ndarray:
    """The stratum of each unit."""
    if stratum is None:
        return np.zeros(units, int)
    codes = np.unique(np.asarray(stratum), return_inverse=True)[1].reshape(-1)
    if codes.shape != which.shape:
        raise ValueError(f"stratum must hold {which.size} entries, got {codes.size}")
    inside = which >= 0
    found: np.ndarray = np.zeros(units, int)
    found[which[inside]] = codes[inside]
    if np.any(found[which[inside]] != codes[inside]):
        raise ValueError(
            "stratum varies within a patient of one group; give one stratum to all images of a "
            "patient"
        )
    return found


def patient_tables(
    change: Array,
    label: Array | None,
    group: Array,
    patient: Sequence[object] | np.ndarray | Patients,
    *,
    groups: int,
    labels: tuple[float, ...] = (0, 1),
    stratum: Array | None = None,
    weigh: Literal["images", "patients"] = "images",
) -> PatientTables:
    """Patient tables from one row per image.

    Args:
      change: [N] or [K, N] change of each image: r - o of decisions, the change of the logit of a
        score, of Dice or PSNR; NaN = unknown.
      label: [N] or [K, N] truth, NaN = unknown; None: one stratum without labels (then L = 1).
      group: [N] int group index, anything outside 0..G-1 = unknown.
      patient: [N] patient names.
      groups: number of groups G.
      labels: label values of the L strata.
      stratum: [N] further strata within which groups are permuted (a site, a device); constant
        within a patient of a group.
      weigh: "images": D_g is the mean over images; "patients": over patients' means (N = 1).

    Returns:
      `PatientTables`; they do not depend on the order of rows.

    Raises:
      ValueError: shapes disagree, a change is infinite, a stratum varies within a unit, or `weigh`
        is unknown.

    Example:
      >>> tables = patient_tables([-1, 0, 1], None, [0, 0, 1], ["a", "a", "b"], groups=2)
      >>> tables.change[:, 0, 0].tolist(), tables.images[:, 0, 0].tolist()  # of patients a and b
      ([-1.0, 1.0], [2.0, 1.0])
    """
    units = patient_units(group, patient, groups)
    return tabulate(units, change, label, labels=labels, stratum=stratum, weigh=weigh)


def tabulate(
    units: Units,
    change: Array,
    label: Array | None = None,
    *,
    labels: tuple[float, ...] = (0, 1),
    stratum: Array | None = None,
    weigh: Literal["images", "patients"] = "images",
) -> PatientTables:
    """`patient_tables` of known units; arguments, result and errors are the same."""
    if weigh not in ("images", "patients"):
        raise ValueError(f'weigh must be "images" or "patients", got {weigh!r}')
    which = units.which
    value = _problem(change, which.size, "change")
    if np.any(np.isinf(value)):
        raise ValueError(f"change holds {int(np.isinf(value).sum())} infinite values")
    truth = np.zeros((1, which.size)) if label is None else _problem(label, which.size, "label")
    strata = (0,) if label is None else labels
    shape = (len(units.group), max(len(value), len(truth)), len(strata))
    sums, counts = (np.zeros((*shape[1:], shape[0])) for _ in range(2))  # [K, L, U], filled by rows
    rows: list[np.ndarray] = []
    last = (np.zeros(0), np.zeros(0))
    for k in range(shape[1]):
        v, t = value[min(k, len(value) - 1)], truth[min(k, len(truth) - 1)]
        known = np.isfinite(v) & (which >= 0)
        # most problems share their images: a threshold changes decisions, not who is known
        alike = len(truth) == 1 or np.array_equal(t, last[1], equal_nan=True)
        again = alike and np.array_equal(known, last[0])
        if not again:
            rows, last = [np.flatnonzero(known & (t == level)) for level in strata], (known, t)
        whole = bool(np.all(v[known] == np.rint(v[known])))
        for y, own in enumerate(rows):
            # whole numbers add up exactly in any order, and most of them are 0
            changed = own[v[own] != 0] if whole else _in_order(own, v, which)
            sums[k, y] = np.bincount(which[changed], v[changed], shape[0])
            counts[k, y] = (
                counts[k - 1, y] if again else np.bincount(which[own], minlength=shape[0])
            )
    total: np.ndarray = np.ascontiguousarray(np.moveaxis(sums, -1, 0))  # [U, K, L]
    count: np.ndarray = np.ascontiguousarray(np.moveaxis(counts, -1, 0))
    if weigh == "patients":
        total, count = total / np.maximum(count, 1), (count > 0) * 1.0
    return PatientTables(
        total,
        count,
        units.group,
        units.patient,
        units.unit,
        _unit_stratum(stratum, which, len(units.group)),
        units.groups,
    )


def _in_order(rows: np.ndarray, values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Rows in an order in which sums per unit do not depend on the order of the table: those of
    units with more than two are sorted by value; of two, either order gives the same sum.
    """
    many = np.bincount(which[rows])[which[rows]] > 2
    if not many.any():
        return rows
    some = rows[many]
    return np.concatenate([rows[~many], some[np.lexsort((values[some], which[some]))]])


def stratified(tables: PatientTables) -> np.ndarray:
    """[K] bool: groups are permuted within more than one stratum."""
    stratum = tables.stratum[:, None] if tables.stratum.ndim == 1 else tables.stratum
    codes = np.broadcast_to(stratum, tables.images.shape[:2])
    return np.any(codes != codes[:1], 0)


def _shares_stratum(tables: PatientTables, judged: np.ndarray) -> np.ndarray:
    """[K, L, G] bool: some stratum holds patients of the group and of another judged one. A group
    on its own in every label needs no stratum: it is told as being alone.
    """
    shared = np.sum(judged, -1, keepdims=True) < 2
    if not stratified(tables).any():
        return np.ones(judged.shape, bool)
    codes = tables.stratum.reshape(len(tables.stratum), -1)
    for code in np.unique(codes):
        images = tables.images * (codes == code)[..., None]
        held = np.stack(
            [np.any(images[tables.group == g] > 0, 0) for g in range(tables.groups)], -1
        )
        shared = shared | (held & (np.sum(held & judged, -1, keepdims=True) >= 2))
    return shared


def judge_cells(
    tables: PatientTables, min_patients: int = MIN_PATIENTS, min_effective: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which groups can be judged, per cell and label.

    A group needs `min_patients` patients and as many effective patients, and a second such group in
    one of the strata within which groups are permuted; a label needs two groups.

    Args:
      tables: patient tables.
      min_patients: fewest patients, >= 2.
      min_effective: fewest effective patients; `min_patients` if None.

    Returns:
      reason codes [K, L, G] into `REASONS` (0 = judged), patients [K, L, G] and effective patients
        [K, L, G].

    Raises:
      ValueError: `min_patients` is below 2.
    """
    if min_patients < 2:
        raise ValueError(f"min_patients must be at least 2, got {min_patients}")
    shape = (*tables.images.shape[1:], tables.groups)
    patients, effective, images = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for g in range(tables.groups):
        n = tables.images[tables.group == g]
        patients[..., g], images[..., g] = np.sum(n > 0, 0), np.sum(n, 0)
        effective[..., g] = effective_patients(n)
    need = min_patients if min_effective is None else min_effective
    reason = np.select(
        [images == 0, patients < min_patients, effective < need * (1 - 1e-9)], [1, 2, 3], 0
    )
    reason = np.where((reason == 0) & ~_shares_stratum(tables, reason == 0), 5, reason)
    # behind the strata: who has nobody there may leave another one alone
    alone = (reason == 0) & (np.sum(reason == 0, -1, keepdims=True) < 2)
    return np.where(alone, 4, reason), patients, effective
