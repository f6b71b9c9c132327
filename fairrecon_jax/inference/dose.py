"""Does the loss that grows with the level of degradation grow alike in every group? A slope per
patient, and the group test of those slopes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairrecon_jax.inference.group_tables import PatientTables
from fairrecon_jax.types import Array


def dose_positions(levels: Sequence[float]) -> np.ndarray:
    """Places of levels between the mildest and the worst.

    x = log(l / mildest) / log(worst / mildest) where all levels are positive (a tenth of the
    photons is a step wherever it is taken), else (l - mildest) / (worst - mildest).

    Args:
      levels: at least two different ones, mildest first.

    Returns:
      [J] float64, 0 for the mildest and 1 for the worst.

    Raises:
      ValueError: fewer than two different levels.

    Example:
      >>> dose_positions([1e5, 1e4, 1e3]).round(3).tolist()
      [0.0, 0.5, 1.0]
    """
    x = np.asarray(levels, float)
    if x.ndim != 1 or len(x) < 2 or x[0] == x[-1]:
        raise ValueError(f"a slope needs at least two different levels, got {list(levels)}")
    if np.all(x > 0):
        x = np.log(x)
    # + 0: where levels fall, the first place would be -0
    return (x - x[0]) / (x[-1] - x[0]) + 0.0


def slope_tables(tables: PatientTables, position: Array) -> PatientTables:
    """Patients' slopes of the change along the level, as a table that `group_test` takes.

    With x_j the places of J levels and S_uj the sum of the changes of unit u's images,
    S'_u = sum_j (x_j - xbar) S_uj / sum_j (x_j - xbar)^2 and N'_u = N_u: the mean of S' over a
    group is the least-squares slope of its mean change. Where the slopes of all groups are equal,
    group and level do not interact.

    Args:
      tables: of the J levels of one reconstructor, [U, J, L]; the images of a unit are the same at
        every level.
      position: [J] x, e.g. of `dose_positions`.

    Returns:
      Tables of one problem, [U, 1, L]; in units of the change from x = 0 to x = 1.

    Raises:
      ValueError: J places are needed, or a unit has other images at another level.

    Example:
      >>> losses = np.array([[0.0, 0, -1], [0, 0, -1], [0, -1, -1]])  # b is lost at the last level
      >>> tables = fr.inference.patient_tables(losses, None, [0, 0, 1], ["a", "b", "c"], groups=2)
      >>> float(slope_tables(tables, dose_positions([2, 4, 8])).change.min())
      -1.0
    """
    x = np.asarray(position, float)
    if x.shape != tables.change.shape[1:2]:
        raise ValueError(
            f"position must hold {tables.change.shape[1]} places, one per level, got {x.shape}"
        )
    images = tables.images[:, :1]
    if not np.array_equal(np.broadcast_to(images, tables.images.shape), tables.images):
        raise ValueError("a unit has other images at one level than at another: leave those out")
    centred = x - x.mean()
    slope = np.einsum("j,ujl->ul", centred / np.sum(centred**2), tables.change)
    stratum = tables.stratum
    if stratum.ndim == 2:  # [U, J]: of the patient, whatever the level
        stratum = stratum[:, :1]
    return tables._replace(change=slope[:, None], images=images, stratum=stratum)
