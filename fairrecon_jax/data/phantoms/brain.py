"""A FLAIR volume of a head: scalp, skull, fluid, folded cortex, white matter, deep nuclei and ventricles, as implicit shapes.

Coordinates are mm: x grows to the patient's left, y to the back, z upwards; the origin lies in the middle of the head between the
thalami. Intensities are relative to white matter = 100.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fairrecon_jax.data.phantoms.drawing import edge, smoothstep

WHITE, GREY, FLUID, FAT, BONE, MARROW, MUSCLE = 100.0, 122.0, 16.0, 215.0, 14.0, 55.0, 62.0


@dataclasses.dataclass(frozen=True)
class Head:
    """Geometry of one patient's head; lengths in mm.

    Attributes:
      scale: size of the head (men's are larger).
      breadth: width relative to length.
      atrophy: 0 (young) to 1 and above (old): wide sulci and ventricles.
      lesions: amount of white-matter hyperintensity, 0 to 1.
      tilt: rotation about the z axis in degrees.
      offset: centre of the head in the field of view.
      scalp: thickness of the scalp.
      fold: wavelength of the cortical folds.
    """

    scale: float
    breadth: float
    atrophy: float
    lesions: float
    tilt: float
    offset: tuple[float, float, float]
    scalp: float
    fold: float


def sample_head(rng: np.random.Generator, sex: str, age: float) -> Head:
    """Draws a head: atrophy and white-matter lesions grow with age, men's heads are about 4% larger in length."""
    n = np.clip(rng.standard_normal(9), -2.2, 2.2)
    years = max(age - 35.0, 0.0) / 45.0
    return Head(
        scale=(1.0 if sex == "Male" else 0.955) * (1.0 + 0.025 * n[0]),
        breadth=1.0 + 0.035 * n[1],
        atrophy=float(np.clip(0.12 + 0.75 * years**1.5 + 0.13 * n[2], 0.0, 1.4)),
        lesions=float(np.clip(0.75 * years**2 + 0.16 * n[3], 0.0, 1.0)),
        tilt=3.0 * n[4],
        offset=(2.0 * n[5], 2.0 * n[6], 3.0 * n[7]),
        scalp=6.0 + 1.2 * n[8],
        fold=25.0,
    )


@dataclasses.dataclass
class Volume:
    """Maps of one head, [X, Y, Z] float32.

    Attributes:
      spacing: voxel size in mm.
      x: head coordinate in mm (mass effect and pose taken out), likewise y and z.
      y: see x.
      z: see x.
      brain: membership of brain tissue and ventricles, in [0, 1].
      white: membership of white matter, in [0, 1].
      ventricles: membership of the ventricles, in [0, 1].
      depth: depth below the cerebral surface in mm.
      image: intensity.
    """

    spacing: tuple[float, float, float]
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    brain: np.ndarray
    white: np.ndarray
    ventricles: np.ndarray
    depth: np.ndarray
    image: np.ndarray


def axes_mm(size: int, slices: int) -> tuple[tuple[float, float, float], list[np.ndarray]]:
    """Voxel size and the voxel centres along each axis for a field of view of 240 x 240 x 155 mm."""
    spacing = (240.0 / size, 240.0 / size, 155.0 / slices)
    counts = (size, size, slices)
    return spacing, [((np.arange(n) + 0.5) * d - n * d / 2).astype(np.float32) for n, d in zip(counts, spacing)]


def waves(rng: np.random.Generator, axes: list[np.ndarray], wavelength: float, count: int = 40, spread: float = 0.25) -> np.ndarray:
    """A smooth isotropic random field of unit variance, [X, Y, Z]: plane waves of nearly one wavelength.

    cos(k.r + p) is the real part of a product of three factors, one per axis, so that the whole sum is one matrix product.
    """
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    number = 2 * np.pi / wavelength * (1.0 + spread * (2 * rng.random(count) - 1))
    k = direction * number[:, None]
    phase = 2 * np.pi * rng.random(count)
    plane = np.exp(1j * (axes[0][:, None, None] * k[:, 0] + axes[1][None, :, None] * k[:, 1] + phase))
    rise = np.exp(1j * k[:, 2, None] * axes[2][None, :])
    flat = plane.reshape(-1, count)
    left = np.concatenate([flat.real, -flat.imag], axis=1).astype(np.float32)
    right = np.concatenate([rise.real, rise.imag], axis=0).astype(np.float32)
    return (left @ right).reshape(len(axes[0]), len(axes[1]), len(axes[2])) * np.float32(np.sqrt(2.0 / count))


def ball(v: tuple[np.ndarray, np.ndarray, np.ndarray], centre: tuple[float, float, float], semi: tuple[float, float, float]) -> np.ndarray:
    """Approximate signed depth in mm inside an ellipsoid: (1 - r) times the mean semi-axis."""
    r2 = sum(((a - np.float32(c)) / np.float32(s)) ** 2 for a, c, s in zip(v, centre, semi))
    return (1.0 - np.sqrt(r2)) * np.float32(np.mean(semi))


def cerebrum_depth(head: Head, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Depth in mm below the smooth hull of the cerebrum: an egg, narrower in front and flatter below."""
    s = head.scale
    across = 68.0 * s * head.breadth * (1.0 - 0.09 * smoothstep(0.0, 85.0, -y) - 0.03 * smoothstep(20.0, 85.0, y))
    up = np.where(z > 0, np.float32(66.0 * s), np.float32(46.0 * s))
    r2 = (x / across) ** 2 + (y / (85.0 * s)) ** 2 + (z / up) ** 2
    return (1.0 - np.sqrt(r2)) * np.float32(68.0 * s)


def tube(v: tuple[np.ndarray, np.ndarray, np.ndarray], path: np.ndarray, radii: np.ndarray, flat: float, margin: float) -> np.ndarray:
    """Signed depth in mm inside a tube along a polyline, mirrored in x; -margin far away.

    Args:
      v: coordinates [X, Y, Z] each; |x| is used.
      path: points [N, 3].
      radii: radius at each point [N].
      flat: widths in x are divided by this.
      margin: how far outside the tube the depth is still followed.
    """
    x, y, z = np.abs(v[0]), v[1], v[2]
    depth = np.full(x.shape, -margin, np.float32)
    for a, b, ra, rb in zip(path[:-1], path[1:], radii[:-1], radii[1:]):
        low, high = np.minimum(a, b) - max(ra, rb) - margin, np.maximum(a, b) + max(ra, rb) + margin
        near = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]) & (z > low[2]) & (z < high[2])
        p = np.stack([x[near], y[near], z[near]], axis=1) - a.astype(np.float32)
        d = (b - a).astype(np.float32)
        t = np.clip(p @ d / float(d @ d), 0.0, 1.0)
        off = (p - t[:, None] * d) * np.array([flat, 1.0, 1.0], np.float32)
        depth[near] = np.maximum(depth[near], ra + (rb - ra) * t - np.sqrt((off**2).sum(1)))
    return depth


def ventricle_depth(head: Head, v: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Signed depth in mm inside the ventricles (lateral, third, fourth)."""
    s, grow = head.scale, 0.75 + 0.75 * head.atrophy
    path = s * np.array([[7, -33, 6], [8, -20, 14], [10, 0, 20], [14, 18, 19], [22, 30, 11], [25, 44, 7], [24, 56, 6]], float)
    radii = grow * np.array([3.2, 4.6, 4.8, 5.0, 5.4, 3.2, 1.4])
    horn = s * np.array([[22, 30, 11], [31, 20, -6], [33, 2, -15], [31, -8, -17]], float)
    lateral = tube(v, path, radii, 1.15, 14.0)
    temporal = tube(v, horn, grow * np.array([4.2, 2.6, 1.9, 1.6]), 1.0, 14.0)
    third = ball(v, (0.0, 6.0 * s, 0.0), (1.0 + 1.6 * head.atrophy, 15.0 * s, 10.0 * s))
    third = np.minimum(third, 1.0 + 1.6 * head.atrophy - np.abs(v[0]))
    fourth = ball(v, (0.0, 33.0 * s, -44.0 * s), (6.0 * s, 5.0 * s, 10.0 * s))
    return np.maximum.reduce([lateral, temporal, third, fourth])


def build_brain(
    head: Head,
    v: tuple[np.ndarray, np.ndarray, np.ndarray],
    axes: list[np.ndarray],
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
) -> Volume:
    """Makes the healthy head.

    Args:
      head: geometry.
      v: head coordinates [X, Y, Z] each, in mm.
      axes: the voxel centres, for random fields.
      spacing: voxel size in mm.
      rng: folds, texture, lesions.
    """
    x, y, z = v
    s, soft = head.scale, max(spacing[0], 1.0)
    side = np.abs(x)
    depth = cerebrum_depth(head, x, y, z)
    cerebellum = ball(v, (0.0, 46.0 * s, -46.0 * s), (50.0 * s, 33.0 * s, 23.0 * s))
    stem = np.minimum(13.0 * s - np.sqrt((side * 0.9) ** 2 + (y - 14.0 * s - 0.12 * (z + 40.0)) ** 2), -z - 14.0 * s)
    hull = np.maximum.reduce([depth, cerebellum, stem])
    fold = waves(rng, axes, head.fold)
    k = 2 * np.pi / head.fold
    gap = 0.25 + 1.5 * head.atrophy
    sulcal = (1.0 - smoothstep(9.0, 21.0, depth)) * gap
    to_sulcus = np.abs(fold) / k
    central = ball((np.zeros_like(x), y, z), (0.0, 0.0, 4.0 * s), (1.0, 40.0 * s, 22.0 * s)) < 0
    fissure = np.where(central, side, np.float32(99.0)) - 0.4 * gap
    sylvian = (
        np.abs(z - 2.0 * s - 0.22 * y) * 0.9
        + 30.0 * (1.0 - smoothstep(30.0 * s, 40.0 * s, side))
        + 30.0 * smoothstep(26.0 * s, 34.0 * s, np.abs(y + 4.0))
    )
    to_fluid = np.minimum.reduce([to_sulcus - sulcal + 30.0 * smoothstep(12.0, 22.0, depth), fissure, sylvian - gap - 0.4])
    cortex = np.minimum(to_fluid, depth) < 3.0
    brain = edge(hull, soft)
    in_cerebrum = edge(depth - np.maximum(cerebellum, stem) + 1.5, soft)
    grey = edge(3.0 - np.minimum(to_fluid, depth - 0.3), soft) * in_cerebrum
    folia = 0.5 + 0.5 * np.cos(2 * np.pi * (cerebellum + 0.5 * np.abs(z + 40.0)) / 5.5)
    hind = edge(cerebellum, soft) * (1.0 - in_cerebrum)
    grey = np.maximum(grey, hind * (0.45 + 0.4 * folia) * edge(cerebellum - 0.0, soft))
    nuclei = nuclei_map(head, v, soft)
    grey = np.maximum(grey, nuclei)
    ventricle = ventricle_depth(head, v)
    vent = edge(ventricle, soft)
    thin = np.clip(2.0 * (gap + 0.6) / soft, 0.0, 1.0)
    fluid = np.maximum(edge(-to_fluid, soft) * in_cerebrum * thin, vent)
    white = brain * (1.0 - grey) * (1.0 - fluid)
    tissue = WHITE + (GREY - WHITE) * grey + 2.0 * waves(rng, axes, 14.0, 24)
    tissue = tissue + (175.0 - tissue) * white_lesions(head, white, ventricle, z, axes, rng)
    tissue = tissue * (1.0 - fluid) + FLUID * fluid
    image = head_shell(head, v, hull, axes, rng, soft)
    image = image * (1.0 - brain) + tissue * brain
    del cortex
    return Volume(spacing, x, y, z, brain, white, vent, depth, image)


def nuclei_map(head: Head, v: tuple[np.ndarray, np.ndarray, np.ndarray], soft: float) -> np.ndarray:
    """Membership of caudate, putamen with pallidum, and thalamus."""
    s = head.scale
    side = (np.abs(v[0]), v[1], v[2])
    slant = (np.abs(v[0]) - 0.28 * (v[1] + 4.0 * s), v[1], v[2])
    shapes = [
        ball(side, (13.0 * s, -20.0 * s, 9.0 * s), (5.5 * s, 11.0 * s, 10.0 * s)),
        ball(slant, (25.0 * s, -2.0 * s, 3.0 * s), (5.5 * s, 17.0 * s, 10.0 * s)),
        ball(side, (10.5 * s, 11.0 * s, 6.0 * s), (8.5 * s, 14.0 * s, 9.0 * s)),
    ]
    return 0.8 * edge(np.maximum.reduce(shapes), 1.5 * soft)


def white_lesions(
    head: Head, white: np.ndarray, ventricle: np.ndarray, z: np.ndarray, axes: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Membership of age-related white-matter hyperintensities: caps along the ventricles and scattered spots."""
    patchy = waves(rng, axes, 22.0, 24)
    caps = np.exp(-((np.maximum(-ventricle, 0.0) / (2.0 + 5.0 * head.lesions)) ** 2)) * smoothstep(
        0.2, 1.2, patchy + 2.6 * head.lesions - 0.6
    )
    spots = smoothstep(3.1 - 1.3 * head.lesions, 3.5 - 1.3 * head.lesions, waves(rng, axes, 15.0, 24))
    return np.clip(caps * min(1.0, 0.25 + head.lesions) + spots, 0.0, 1.0) * white


def head_shell(
    head: Head,
    v: tuple[np.ndarray, np.ndarray, np.ndarray],
    hull: np.ndarray,
    axes: list[np.ndarray],
    rng: np.random.Generator,
    soft: float,
) -> np.ndarray:
    """Everything outside the brain: fluid, skull with marrow, scalp fat; muscle, orbits and sinuses at the base."""
    x, y, z = v
    s = head.scale
    outside = -hull
    room = 1.5 + 2.5 * head.atrophy
    rough = waves(rng, axes, 30.0, 24)
    face = ball((x, y, np.minimum(z + 45.0 * s, 0.0)), (0.0, -18.0 * s, 0.0), (60.0 * s, 74.0 * s, 400.0))
    outside = np.where(z < -20.0 * s, np.minimum(outside, np.maximum(-face, -60.0) + 16.0), outside)
    skull = 6.5 + 0.8 * rough
    image = FAT * edge(room + skull + head.scalp + 0.8 * rough - outside, soft) * (0.9 + 0.08 * rough)
    in_skull = edge(room + skull - outside, soft)
    image = image * (1.0 - in_skull) + BONE * in_skull
    marrow = edge(1.4 - np.abs(outside - room - 0.5 * skull), soft) * 0.8
    image = image * (1.0 - marrow) + MARROW * marrow
    fluid = edge(room - outside, soft)
    image = image * (1.0 - fluid) + FLUID * fluid
    base = edge(-z - 38.0 * s, 4.0) * (1.0 - edge(hull + room, soft)) * edge(face, soft)
    meat = MUSCLE + 26.0 * rough + 16.0 * waves(rng, axes, 12.0, 24)
    image = image * (1.0 - base) + np.maximum(meat, 8.0) * base
    eyes = edge(ball((np.abs(x), y, z), (31.0 * s, -70.0 * s, -36.0 * s), (12.0, 12.0, 12.0)), soft)
    orbit = edge(ball((np.abs(x), y, z), (29.0 * s, -62.0 * s, -36.0 * s), (17.0, 22.0, 16.0)), soft)
    image = image * (1.0 - orbit) + 170.0 * orbit
    return np.maximum(image * (1.0 - eyes) + 24.0 * eyes, 0.0)
