"""A FLAIR volume of a head: scalp, skull, fluid, folded cortex, white matter, deep nuclei and
ventricles, as implicit shapes.

Coordinates are mm: x grows to the patient's left, y to the back, z upwards; the origin lies in the
middle of the head between the thalami. Intensities are relative to white matter = 100.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fairrecon_jax.phantoms.drawing import edge, smoothstep
from fairrecon_jax.phantoms.fields import Coordinates, Field, ball, draw_field, tube

WHITE, GREY, FLUID, FAT, BONE, MARROW, MUSCLE, HYPERINTENSE = (
    100.0,
    127.0,
    14.0,
    205.0,
    12.0,
    52.0,
    58.0,
    172.0,
)
_FIELDS = {
    "fold": 23.0,
    "texture": 13.0,
    "shell": 55.0,
    "muscle": 26.0,
    "patchy": 22.0,
    "spots": 14.0,
}
_CORTEX_MM = 2.9


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
      fields: the random fields of folds, texture, skull, muscle and white-matter lesions.
    """

    scale: float
    breadth: float
    atrophy: float
    lesions: float
    tilt: float
    offset: tuple[float, float, float]
    scalp: float
    fields: dict[str, Field]


def sample_head(rng: np.random.Generator, sex: str, age: float) -> Head:
    """Draws a head: atrophy and white-matter lesions grow with age, men's heads are about 4% larger
    in length.
    """
    # clipped, so that no head leaves the field of view or turns inside out
    n = [float(v) for v in np.clip(rng.standard_normal(9), -2.2, 2.2)]
    years = max(age - 35.0, 0.0) / 45.0
    return Head(
        scale=(1.0 if sex == "Male" else 0.955) * (1.0 + 0.02 * n[0]),
        breadth=1.0 + 0.035 * n[1],
        atrophy=min(max(0.12 + 0.75 * years**1.5 + 0.13 * n[2], 0.0), 1.4),
        lesions=min(max(0.75 * years**2 + 0.14 * n[3], 0.0), 1.0),
        tilt=3.0 * n[4],
        offset=(2.0 * n[5], 2.0 * n[6], 3.0 * n[7] + 6.0),
        scalp=5.5 + 1.1 * n[8],
        fields={name: draw_field(rng, wavelength) for name, wavelength in _FIELDS.items()},
    )


@dataclasses.dataclass
class Block:
    """Maps of a block of slices, [X, Y, Z] float32.

    Attributes:
      x: head coordinate in mm (pose and mass effect taken out).
      brain: membership of brain tissue and ventricles, in [0, 1].
      white: membership of white matter, in [0, 1].
      fluid: membership of ventricles and sulci, in [0, 1].
      image: intensity.
    """

    x: np.ndarray
    brain: np.ndarray
    white: np.ndarray
    fluid: np.ndarray
    image: np.ndarray


def cerebrum_depth(head: Head, v: Coordinates) -> np.ndarray:
    """Depth in mm below the smooth hull of the cerebrum: an egg narrower in front and flat below,
    with the temporal lobes.
    """
    x, y, z = v
    s = head.scale
    across = (
        67.0
        * s
        * head.breadth
        * (1.0 - 0.10 * smoothstep(0.0, 85.0, -y) - 0.03 * smoothstep(20.0, 85.0, y))
    )
    # Round above; the fourth power makes it flat below.
    height = np.where(z > 0, (z / (66.0 * s)) ** 2, (z / (38.0 * s)) ** 4)
    egg = (1.0 - np.sqrt((x / across) ** 2 + (y / (84.0 * s)) ** 2 + height)) * (67.0 * s)
    lobes = ball(
        (np.abs(x), y, z),
        (38.0 * s * head.breadth, -6.0 * s, -22.0 * s),
        (27.0 * s, 42.0 * s, 24.0 * s),
    )
    # the union of two shapes by signed depth
    return np.maximum(egg, lobes)


def hindbrain_depth(head: Head, v: Coordinates) -> tuple[np.ndarray, np.ndarray]:
    """Depth in mm inside (cerebellum, brain stem)."""
    x, y, z = v
    s = head.scale
    cerebellum = ball(v, (0.0, 45.0 * s, -46.0 * s), (50.0 * s, 32.0 * s, 22.0 * s))
    width = np.sqrt((0.9 * x) ** 2 + (y - 12.0 * s + 0.12 * (z + 40.0)) ** 2)
    return cerebellum, np.minimum(
        13.0 * s + 3.0 * s * np.exp(-(((z + 42.0 * s) / 9.0) ** 2)) - width, -z - 14.0 * s
    )


def ventricle_depth(head: Head, v: Coordinates) -> np.ndarray:
    """Signed depth in mm inside the ventricles (lateral with their horns, third, fourth) and the
    cistern above the pituitary.
    """
    s, grow = head.scale, 0.75 + 0.75 * head.atrophy
    path = s * np.array(
        [
            [8, -36, 4],
            [8, -22, 11],
            [9, -4, 17],
            [13, 14, 18],
            [20, 28, 12],
            [24, 42, 7],
            [24, 56, 6],
        ],
        float,
    )
    radii = grow * np.array([2.8, 4.6, 4.8, 4.8, 5.6, 3.4, 1.2])
    horn = s * np.array([[21, 30, 9], [31, 20, -6], [34, 2, -17], [32, -10, -21]], float)
    # 14 mm outside are followed: white-matter caps fade with the distance to the ventricle
    lateral = tube(v, path, radii, 1.2, 14.0)
    temporal = tube(v, horn, grow * np.array([4.4, 2.6, 1.7, 1.4]), 1.0, 14.0)
    slit = 1.0 + 1.6 * head.atrophy
    third = np.minimum(
        ball(v, (0.0, 6.0 * s, -1.0), (10.0 * s, 15.0 * s, 10.0 * s)), slit - np.abs(v[0])
    )
    fourth = ball(v, (0.0, 30.0 * s, -44.0 * s), (7.0 * s, 5.0 * s, 10.0 * s))
    cistern = ball(v, (0.0, -10.0 * s, -29.0 * s), (11.0 * s, 8.0 * s, 6.0 * s))
    return np.maximum.reduce([lateral, temporal, third, fourth, cistern])


def nuclei_map(head: Head, v: Coordinates, soft: float) -> np.ndarray:
    """Membership of caudate, putamen with pallidum, and thalamus."""
    s = head.scale
    side = (np.abs(v[0]), v[1], v[2])
    slant = (side[0] - 0.28 * (v[1] + 4.0 * s), v[1], v[2])
    shapes = [
        ball(side, (14.5 * s, -20.0 * s, 8.0 * s), (5.5 * s, 11.0 * s, 10.0 * s)),
        ball(slant, (26.0 * s, -2.0 * s, 3.0 * s), (5.5 * s, 17.0 * s, 11.0 * s)),
        ball(side, (10.5 * s, 11.0 * s, 6.0 * s), (8.5 * s, 14.0 * s, 9.0 * s)),
    ]
    return 0.75 * edge(np.maximum.reduce(shapes), 1.5 * soft)


def distance_to_fluid(
    head: Head, v: Coordinates, depth: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Distance in mm to the nearest sulcus or fissure of the cerebrum, negative inside it.

    Sulci lie where the fold field crosses zero, close to the surface; they widen with atrophy.
    """
    x, y, z = v
    s, gap = head.scale, 0.15 + 1.3 * head.atrophy
    side = np.abs(x)
    sulci = (
        # A wave's slope at its zeros is 2 pi / wavelength: dividing by it turns the field into mm.
        np.abs(fold) * (_FIELDS["fold"] / (2 * np.pi))
        - gap * (1.0 - smoothstep(8.0, 20.0, depth))
        # 30 mm put a sulcus or fissure out of reach where it has ended.
        + 30.0 * smoothstep(14.0, 21.0, depth)
    )
    outside_callosum = smoothstep(
        0.95, 1.05, (y / (40.0 * s)) ** 2 + ((z - 3.0 * s) / (24.0 * s)) ** 2
    )
    # the corpus callosum bridges the two halves
    fissure = side - 0.5 - 0.5 * gap + 30.0 * (1.0 - outside_callosum)
    lateral = np.abs(z + 3.0 * s - 0.22 * y) * 0.9 - gap - 0.5
    lateral = (
        lateral
        + 30.0 * (1.0 - smoothstep(34.0 * s, 39.0 * s, side))
        + 30.0 * smoothstep(24.0 * s, 32.0 * s, np.abs(y + 6.0))
    )
    insula = np.abs(side - 40.0 * s - 0.04 * (y + 6.0) ** 2 / s) - gap - 0.3
    insula = (
        insula
        + 30.0 * smoothstep(15.0 * s, 21.0 * s, np.abs(z - 1.0))
        + 30.0 * smoothstep(20.0 * s, 26.0 * s, np.abs(y + 4.0))
    )
    return np.minimum(np.minimum(sulci, fissure), np.minimum(lateral, insula))


def white_lesions(
    head: Head, white: np.ndarray, ventricle: np.ndarray, patchy: np.ndarray, spots: np.ndarray
) -> np.ndarray:
    """Membership of age-related white-matter hyperintensities: caps along the ventricles and
    scattered spots.
    """
    caps = np.exp(-((np.maximum(-ventricle, 0.0) / (1.5 + 5.0 * head.lesions)) ** 2))
    caps = (
        caps
        * smoothstep(0.2, 1.2, patchy + 2.6 * head.lesions - 0.6)
        * min(1.0, 0.2 + head.lesions)
    )
    # in standard deviations of the field: rare spots in the young
    level = 3.3 - 1.4 * head.lesions
    return np.clip(caps + 0.8 * smoothstep(level, level + 0.5, spots), 0.0, 1.0) * white


def build_block(
    head: Head, v: Coordinates, axes: tuple[np.ndarray, np.ndarray, np.ndarray], soft: float
) -> Block:
    """Makes a block of slices of the healthy head.

    Args:
      head: geometry.
      v: head coordinates in mm.
      axes: the voxel centres along each axis, for the random fields.
      soft: width of edges in mm, about a voxel.
    """
    fields = {name: field(axes) for name, field in head.fields.items()}
    depth = cerebrum_depth(head, v)
    cerebellum, stem = hindbrain_depth(head, v)
    hind = np.maximum(cerebellum, stem)
    hull = np.maximum(depth, hind)
    brain = edge(hull, soft)
    cerebral = edge(depth - hind + 1.5, soft)
    to_fluid = distance_to_fluid(head, v, depth, fields["fold"])
    # Cortex lines sulci and the hull alike: the nearer of both surfaces counts.
    grey = edge(_CORTEX_MM - np.minimum(to_fluid, depth - 0.3), soft) * cerebral
    folia = 0.5 + 0.5 * np.cos((2 * np.pi / 5.5) * (cerebellum + 0.5 * np.abs(v[2] + 40.0)))
    grey = np.maximum(grey, edge(cerebellum - stem, soft) * (1.0 - cerebral) * (0.4 + 0.45 * folia))
    grey = np.maximum(grey, nuclei_map(head, v, soft))
    ventricle = ventricle_depth(head, v)
    # A sulcus narrower than the edge fills only a part of it.
    thin = min(1.0, 2.0 * (0.8 + 1.3 * head.atrophy) / soft)
    fluid = np.maximum(edge(-to_fluid, soft) * cerebral * thin, edge(ventricle, soft))
    white = brain * (1.0 - grey) * (1.0 - fluid)
    tissue = WHITE + (GREY - WHITE) * grey + 1.8 * fields["texture"]
    tissue = tissue + (HYPERINTENSE - tissue) * white_lesions(
        head, white, ventricle, fields["patchy"], fields["spots"]
    )
    tissue = tissue * (1.0 - fluid) + FLUID * fluid
    # mixed by membership, as a voxel on the border holds both
    image = head_shell(head, v, hull, fields, soft) * (1.0 - brain) + tissue * brain
    return Block(v[0], brain, white, fluid, image)


def head_shell(
    head: Head, v: Coordinates, hull: np.ndarray, fields: dict[str, np.ndarray], soft: float
) -> np.ndarray:
    """Everything outside the brain: fluid, skull with marrow, scalp fat; muscle, orbits and sinuses
    at the base.
    """
    x, y, z = v
    s = head.scale
    # The vault reaches further down than the cerebrum, to the base of the skull.
    down = np.where(z > 0, np.float32(66.0 * s), np.float32(112.0 * s))
    vault = (
        1.0
        - np.sqrt((x / (67.5 * s * head.breadth)) ** 2 + (y / (84.0 * s)) ** 2 + (z / down) ** 2)
    ) * (68.0 * s)
    outside = -np.maximum(vault, hull)
    room = 1.5 + 2.2 * head.atrophy
    skull = 6.0 + 0.5 * fields["shell"]
    image = (
        FAT
        * edge(room + skull + head.scalp + 0.5 * fields["shell"] - outside, soft)
        * (0.92 + 0.05 * fields["shell"])
    )
    bone = edge(room + skull - outside, soft)
    image = image * (1.0 - bone) + BONE * bone
    marrow = edge(1.3 - np.abs(outside - room - 0.5 * skull), soft) * 0.8
    image = image * (1.0 - marrow) + MARROW * marrow
    base = edge(room - outside, soft)
    deep = smoothstep(room + 2.0, room + 6.0, -hull) * smoothstep(14.0 * s, 24.0 * s, -z)
    floor = (MUSCLE + 13.0 * fields["muscle"] + 8.0 * fields["texture"]).clip(
        10.0, 120.0
    ) * deep + FLUID * (1.0 - deep)
    image = image * (1.0 - base) + floor * base
    side = (np.abs(x), y, z)
    orbit = edge(ball(side, (30.0 * s, -62.0 * s, -38.0 * s), (16.0, 22.0, 15.0)), soft) * (
        1.0 - edge(hull + 4.0, soft)
    )
    # Fat of the orbit, the eye in it, and the air of the sinuses, which is never negative.
    image = image * (1.0 - orbit) + 165.0 * orbit
    eye = edge(ball(side, (31.0 * s, -70.0 * s, -38.0 * s), (12.0, 12.0, 12.0)), soft)
    image = image * (1.0 - eye) + 22.0 * eye
    sinus = edge(ball(v, (0.0, -62.0 * s, -44.0 * s), (13.0, 20.0, 24.0)), soft) * (
        1.0 - edge(hull + 5.0, soft)
    )
    return np.maximum(image * (1.0 - sinus) + 8.0 * sinus, 0.0)
