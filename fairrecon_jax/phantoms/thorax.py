"""The chest of one patient: sizes in cm as they follow from sex, age and chance, and the outlines
made from them.

Coordinates are cm on the film: x grows to the viewer's right (the patient's left), y grows
downwards, the origin is the middle of the thorax. Sizes follow adult reference values: inner
thoracic width about 29 cm (men) and 26 cm (women), cardiothoracic ratio 0.38 to 0.50, carina at the
fourth to fifth thoracic vertebra, right dome of the diaphragm 1 to 2 cm above the left.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from fairrecon_jax.phantoms.drawing import Frame, edge, ellipse_radius, power, smoothstep

RIGHT, LEFT = 0, 1
SIGN = (-1.0, 1.0)
"""Sign of x on the patient's right and left."""


@dataclasses.dataclass(frozen=True)
class Thorax:
    """Geometry of one film; lengths in cm.

    Attributes:
      frame: where the patient lies on the film.
      half_width: greatest half width of both lungs together (half the inner thoracic width).
      apex: y of the lung apices.
      dome: y of the diaphragm's domes (right, left).
      angle: y of the costophrenic angles (right, left).
      depth: front-to-back depth of the lungs at mid height.
      body: thickness of the chest wall, front and back together.
      fat: thickness of soft tissue outside the ribs at the side.
      ratio: cardiothoracic ratio.
      heart_height: height of the heart's main axis.
      heart_tilt: degrees of its long axis below the horizontal.
      pedicle: half width of the vascular pedicle (upper mediastinum).
      knob: radius of the aortic knob; `unfold` is how far the descending aorta bows to the left.
      unfold: see knob.
      breast: radius of the breast shadow (0 for none), and its thickness.
      breast_depth: see breast.
      breast_height: y of the middle of the breast.
      bone: multiplier of bone attenuation (falls with age and is higher in men).
      rib_drop: how far a rib descends from back to front.
      rib_gap: distance between ribs along the spine.
      supine: True for AP films.
      rotation: sideways shift of the front structures against the back, from a turned patient.
      shift: sideways shift of the mediastinum (volume loss, tension).
    """

    frame: Frame
    half_width: float
    apex: float
    dome: tuple[float, float]
    angle: tuple[float, float]
    depth: float
    body: float
    fat: float
    ratio: float
    heart_height: float
    heart_tilt: float
    pedicle: float
    knob: float
    unfold: float
    breast: float
    breast_depth: float
    breast_height: float
    bone: float
    rib_drop: float
    rib_gap: float
    supine: bool
    rotation: float
    shift: float = 0.0

    def wall(self, y: np.ndarray, side: int) -> np.ndarray:
        """|x| of the outer border of a lung at height y."""
        # clipped: roots below, and the wall goes straight on above and below the lung
        u = np.clip((y - self.apex) / (self.angle[side] - self.apex), 0.0, 1.0)
        return (
            4.0
            + (self.half_width - 4.0) * np.sqrt(1.0 - (1.0 - u) ** 2 * np.sqrt(1.0 - u))
            - 0.5 * (u * u) ** 2
        )

    def inner(self, y: np.ndarray) -> np.ndarray:
        """|x| of the inner border of a lung at height y, before heart and great vessels are taken
        out.
        """
        top = 1.0 - smoothstep(self.apex, self.apex + 4.0, y)
        return 1.5 + 2.4 * top

    def diaphragm(self, x: np.ndarray, side: int) -> np.ndarray:
        """y of the diaphragm at |x|: a dome that falls to the costophrenic angle outside and to the
        heart inside.
        """
        middle = 0.46 * self.half_width
        outside = np.clip((x - middle) / (self.half_width - 0.6 - middle), 0.0, 1.0)
        inside = np.clip((middle - x) / middle, 0.0, 1.0)
        square = outside * outside
        # 0.999 keeps the argument of the root away from 0, where its slope is infinite.
        drop = 0.75 * outside * np.sqrt(outside) + 0.25 * (
            1.0 - np.sqrt(1.0 - 0.999 * square * square)
        )
        return self.dome[side] + (self.angle[side] - self.dome[side]) * drop + 1.3 * inside**2


def sample_thorax(
    rng: np.random.Generator,
    pose: np.random.Generator,
    sex: str,
    age: float,
    projection: str,
    size: int,
) -> Thorax:
    """Draws the geometry of one film.

    Args:
      rng: the patient's anatomy, the same in every study.
      pose: how the patient stood and breathed this time.
      sex: "Female" or "Male".
      age: years.
      projection: "PA" or "AP"; AP films are lying patients: shallow breath, magnified heart.
      size: pixels per side.
    """
    woman, old, supine = (
        sex == "Female",
        min(max((age - 40.0) / 45.0, 0.0), 1.0),
        projection == "AP",
    )
    # All are drawn, used or not, so that no trait shifts the randomness of another; clipped, so
    # that no organ leaves its place.
    n = [float(v) for v in np.clip(rng.standard_normal(18), -2.2, 2.2)]
    p = [float(v) for v in np.clip(pose.standard_normal(6), -2.2, 2.2)]
    stature = (0.915 if woman else 1.0) * (1.0 + 0.035 * n[0])
    half_width = stature * (14.3 + 0.5 * n[1])
    # in cm of the domes: a lying patient breathes less deeply
    breath = 0.6 * p[0] - 1.9 * supine
    dome = stature * 8.2 + breath
    right, left = dome - 0.7 - 0.3 * n[2], dome + 0.6 + 0.3 * n[3]
    sulcus = stature * 4.0 + 0.5 * n[4]
    field = 36.0 * stature**0.7 + 1.2 * p[1]
    frame = Frame(size, field, degrees=1.8 * p[2], shift=(0.7 * p[3], 0.3 + 0.7 * p[4]))
    weight = 1.0 + 0.18 * n[5]
    sizes = dict(
        half_width=half_width,
        apex=-stature * (13.3 + 0.4 * n[6]),
        depth=stature * (15.5 + 1.6 * old + 0.8 * n[7]),
        body=stature * 5.2 * weight,
        fat=2.4 * weight + 0.3 * woman,
        ratio=0.425 + 0.02 * old + 0.025 * supine + 0.018 * n[8],
        heart_height=0.78 + 0.05 * n[9],
        heart_tilt=42.0 - 10.0 * supine - 6.0 * old + 4.0 * n[10],
        pedicle=stature * (2.35 + 0.25 * old + 0.35 * supine + 0.15 * n[11]),
        knob=stature * (1.55 + 0.65 * old + 0.12 * n[12]),
        unfold=1.5 * old * (1.0 + 0.3 * n[13]),
        breast=(6.4 + 0.8 * n[14]) * weight**0.5 if woman else 0.0,
        breast_depth=(3.5 + 0.8 * n[15]) * weight,
        breast_height=4.6 + 1.2 * old + 0.6 * n[16],
        bone=(0.88 if woman else 1.0) * (1.08 - 0.36 * old) * (1.0 + 0.06 * n[17]),
        rib_drop=stature * (9.0 + 1.2 * old),
        rib_gap=stature * 2.35,
        rotation=0.55 * p[5],
    )
    return Thorax(
        frame=frame,
        dome=(right, left),
        angle=(right + sulcus, left + sulcus - 0.3),
        supine=supine,
        **{k: float(v) for k, v in sizes.items()},
    )


def lung_region(
    thorax: Thorax, x: np.ndarray, y: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where a lung projects, and how thick it is there.

    Returns:
      (membership in [0, 1], thickness in cm), [H, W] each, before heart, vessels and findings are
        taken out.
    """
    across = SIGN[side] * x
    # no edge narrower than a pixel: it would show stairs
    soft = max(0.12, thorax.frame.pixel)
    to_wall = thorax.wall(y, side) - across
    to_inner = across - thorax.inner(y)
    to_dome = thorax.diaphragm(np.maximum(across, 0), side) - y
    region = (
        edge(to_wall, soft)
        * edge(to_inner, 0.5)
        * edge(to_dome, soft)
        * edge(y - thorax.apex, soft)
    )
    rounding = np.clip(to_wall / (0.62 * thorax.half_width), 0.0, 1.0)
    height = np.clip((y - thorax.apex) / (0.55 * (thorax.angle[side] - thorax.apex)), 0.0, 1.0)
    profile = np.sqrt(1.0 - (1.0 - rounding) ** 2) * (0.42 + 0.58 * np.sqrt(height))
    sulcus = 0.65 + 0.35 * np.clip(to_dome / 4.0, 0.0, 1.0)
    return region, thorax.depth * profile * sulcus


def pleural_depth(thorax: Thorax, x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    """Signed depth in cm below the chest wall and the apex (mediastinum and diaphragm are not
    borders here).
    """
    to_wall = thorax.wall(y, side) - SIGN[side] * x
    to_top = y - thorax.apex
    return np.where(
        (to_wall < 0) | (to_top < 0),
        np.minimum(to_wall, to_top),
        # Harmonic, so that wall and apex meet without a corner; both are 0 in the corner itself.
        to_wall * to_top / (to_wall + to_top + 1e-6),
    )


def heart_ellipses(
    thorax: Thorax,
) -> tuple[tuple[tuple[float, float], tuple[float, float], float], ...]:
    """(centre, axes, degrees) of the left ventricle's and the right atrium's outline; their extent
    gives `ratio` exactly.
    """
    width = 2.0 * thorax.half_width * thorax.ratio
    left, right = 0.66 * width, 0.34 * width
    large = max(thorax.ratio - 0.47, 0.0)
    degrees = thorax.heart_tilt - 90.0 * large
    tilt, slender = math.radians(degrees), thorax.heart_height - 0.5 * large
    # Half the extent in x, per unit of the long axis, of an ellipse turned by the tilt.
    extent = math.hypot(math.cos(tilt), slender * math.sin(tilt))
    # At most 0.98 of the width, so that the atrium and not the ventricle makes the right border.
    long_axis = min(0.56 * width, 0.49 * width / extent)
    reach = extent * long_axis
    drop = math.hypot(math.sin(tilt), slender * math.cos(tilt)) * long_axis
    bottom = thorax.dome[LEFT] + 1.8 + 6.0 * large
    ventricle = (
        (thorax.shift + left - reach, bottom - drop),
        (long_axis, slender * long_axis),
        degrees,
    )
    atrium = (0.30 * width, 0.42 * width)
    lean = math.radians(12.0)
    atrium_reach = math.hypot(atrium[0] * math.cos(lean), atrium[1] * math.sin(lean))
    return ventricle, (
        (thorax.shift - right + atrium_reach, thorax.dome[RIGHT] + 1.4 - 0.86 * atrium[1]),
        atrium,
        12.0,
    )


def heart_thickness(thorax: Thorax, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thickness of the heart in cm."""
    (centre, axes, degrees), (right_centre, right_axes, right_degrees) = heart_ellipses(thorax)
    # Powers of both are added before the root, which joins the outlines without a crease.
    ventricle = power(1.0 - ellipse_radius(x, y, centre, axes, degrees), 2.16)
    atrium = power(1.0 - ellipse_radius(x, y, right_centre, right_axes, right_degrees), 2.16)
    return 14.5 * power(ventricle + atrium, 1.0 / 6.0)


def mediastinal_borders(thorax: Thorax, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|x| of the right and left border of the upper mediastinum, from the middle of the
    mediastinum.

    Right: superior vena cava, then the ascending aorta bowing out with age. Left: subclavian
    artery, aortic knob, the notch of the window below it, the pulmonary trunk.
    """
    p, knob_y = thorax.pedicle, thorax.apex + 6.9
    neck = 0.9 * np.exp(-(((y - thorax.apex + 2.0) / 2.2) ** 2))
    right = (
        0.98 * p + neck + (0.25 + 0.25 * thorax.unfold) * np.exp(-(((y - knob_y - 4.0) / 3.2) ** 2))
    )
    knob = (0.62 * thorax.knob - 0.25) * np.exp(
        -(np.abs((y - knob_y) / (1.05 * thorax.knob)) ** 2.4)
    )
    trunk = 1.1 * np.exp(-(np.abs((y - knob_y - 4.3) / 2.1) ** 2.0))
    return right, 0.88 * p + neck + knob + trunk


def vessels_thickness(thorax: Thorax, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thickness of the upper mediastinum in cm: great vessels, aortic knob, pulmonary trunk,
    descending aorta.
    """
    # An unturned film has one y a row: its borders are computed once a row.
    column_y = y[:, :1] if np.ptp(y[0]) == 0 else y
    right, left = mediastinal_borders(thorax, column_y)
    heart_y = heart_ellipses(thorax)[0][0][1]
    off = x - np.float32(thorax.shift)
    # each side of the middle in units of its own border
    u = np.where(off < 0, -off / right, off / left)
    low = 1.0 - 0.55 * smoothstep(heart_y - 1.0, heart_y + 3.0, y)
    reach = (u / low) ** 2
    column = 14.0 * power(1.0 - reach * reach, 0.4)
    knob_y = thorax.apex + 6.9
    bow = np.sin(np.pi * np.clip((y - knob_y) / 17.0, 0.0, 1.0))
    aorta_x = thorax.shift + 0.8 + 0.5 * thorax.knob + thorax.unfold * bow
    aorta = 3.2 * np.sqrt(np.maximum(1.0 - ((x - aorta_x) / 1.3) ** 2, 0.0)) * edge(y - knob_y, 1.5)
    return np.maximum(column, aorta)
