"""Designs of the coverage study: laws of cohorts with a known truth, drawn as columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from fairrecon_jax.inference.clustered import (
    Interval,
    change_interval,
    difference_interval,
    rate_interval,
)
from fairrecon_jax.inference.clustered_values import (
    auroc_change_interval,
    auroc_interval,
    mean_interval,
)

Rng = np.random.Generator
Draw = Callable[[Rng, int], Interval]


GIANT = 20
"""Most images of patients whose numbers of images are alike."""


class Design(NamedTuple):
    """A law of cohorts.

    Attributes:
      name: unique, in words.
      interval: the interval's name.
      patients: patients of a cohort.
      truth: what the interval should hold.
      draw: (generator, cohorts) -> intervals [cohorts].
    """

    name: str
    interval: str
    patients: int
    truth: float
    draw: Draw


def _sizes(rng: Rng, patients: int, cohorts: int, most: int) -> np.ndarray:
    """Images per patient [patients, cohorts], uniform on 1..most; beyond `GIANT`, one patient has
    `most` images and the others have one each.
    """
    if most <= GIANT:
        return rng.integers(1, most + 1, (patients, cohorts))
    images = np.ones((patients, cohorts), int)
    images[0] = most
    return images


def _count(rng: Rng, images: np.ndarray, rate: float, rho: float) -> np.ndarray:
    """Events per patient: binomial with a beta rate of mean `rate` and intraclass correlation."""
    if rate == 0:
        return np.zeros(images.shape)
    if rho == 0:
        return rng.binomial(images, rate).astype(float)
    if rho == 1:
        return images * (rng.random(images.shape) < rate).astype(float)
    scale = (1 - rho) / rho
    own = rng.beta(rate * scale, (1 - rate) * scale, images.shape)
    return rng.binomial(images, own).astype(float)


def _rate(
    patients: int, rate: float, most: int = 1, rho: float = 0.0, rare: bool = False
) -> Design:
    """Rates of patients with 1..most images."""
    kind = "rate, rare" if rare else "rate"

    def draw(rng: Rng, cohorts: int) -> Interval:
        images = _sizes(rng, patients, cohorts, most)
        return rate_interval(_count(rng, images, rate, rho), images, rare=rare)

    return Design(f"rate {rate:g}, {_who(patients, most, rho)}", kind, patients, rate, draw)


def _who(patients: int, most: int, rho: float) -> str:
    """The patients of a design in words."""
    if most == 1:
        return f"{patients} patients"
    images = f"1 to {most} images" if most <= GIANT else f"1 image, one with {most}"
    return f"{patients} patients with {images}, correlation {rho:g}"


def _rate_by_size(patients: int) -> Design:
    """Rates of .1 in patients with 1 to 6 images and .3 in those with 7 to 12: of random images."""

    def draw(rng: Rng, cohorts: int) -> Interval:
        images = _sizes(rng, patients, cohorts, 12)
        own = np.where(images > 6, 0.3, 0.1)
        return rate_interval(rng.binomial(images, own), images)

    truth = (0.1 * 21 + 0.3 * 57) / 78
    return Design(f"rate grows with images, {patients} patients", "rate", patients, truth, draw)


def _change_of_patients(patients: int, loss: float, gain: float, rho: float) -> Design:
    """Changes of decisions where patients, not images, weigh alike."""

    def draw(rng: Rng, cohorts: int) -> Interval:
        images = _sizes(rng, patients, cohorts, 12)
        lost = _count(rng, images, loss, rho)
        gained = _count(rng, images - lost.astype(int), gain, rho)
        return change_interval((gained - lost) / images, np.ones(images.shape))

    name = f"loss {loss:g}, gain {gain:g}, {_who(patients, 12, rho)}, patients alike"
    return Design(name, "change", patients, gain * (1 - loss) - loss, draw)


def _flips(
    rng: Rng,
    patients: int,
    cohorts: int,
    loss: float,
    gain: float,
    most: int,
    rho: tuple[float, float],
) -> Interval:
    """Intervals of the change of decisions that are lost or gained."""
    images = _sizes(rng, patients, cohorts, most)
    lost = _count(rng, images, loss, rho[0])
    gained = _count(rng, images - lost.astype(int), gain, rho[1])
    return change_interval(gained - lost, images)


def _change(
    patients: int,
    loss: float,
    gain: float = 0.0,
    most: int = 1,
    rho: float = 0.0,
    gain_rho: float | None = None,
) -> Design:
    """Changes of decisions of patients with 1..most images."""
    name = f"loss {loss:g}, gain {gain:g}, {_who(patients, most, rho)}"
    name += "" if gain_rho is None else f" (gains {gain_rho:g})"
    both = (rho, rho if gain_rho is None else gain_rho)
    truth = gain * (1 - loss) - loss

    def draw(rng: Rng, cohorts: int) -> Interval:
        return _flips(rng, patients, cohorts, loss, gain, most, both)

    return Design(name, "change", patients, truth, draw)


def _extra(
    sizes: tuple[int, int],
    losses: tuple[float, float],
    gain: float = 0.0,
    most: int = 1,
    rho: float = 0.0,
) -> Design:
    """Change of a small group beyond that of the rest."""
    rest, small = sizes
    name = f"loss {losses[0]:g} / {losses[1]:g}, gain {gain:g}, " + _who(rest, most, rho).replace(
        "patients", f"/ {small} patients", 1
    )
    truth = (losses[0] - losses[1]) * (1 + gain)

    def draw(rng: Rng, cohorts: int) -> Interval:
        parts = [
            _flips(rng, n, cohorts, loss, gain, most, (rho, rho))
            for n, loss in zip((small, rest), losses[::-1], strict=True)
        ]
        return difference_interval(parts[0], parts[1])

    return Design(name, "extra change", rest + small, truth, draw)


def _drop(rng: Rng, shape: tuple[int, int], share: float) -> np.ndarray:
    """Rare drops: a share of patients falls by U(.2, .9)."""
    return np.where(rng.random(shape) < share, -rng.uniform(0.2, 0.9, shape), 0.0)


Law = tuple[Callable[[Rng, tuple[int, int]], np.ndarray], float]
LAWS: dict[str, Law] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "t with 3 degrees": (lambda rng, shape: rng.standard_t(3, shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "lognormal, sigma .5": (lambda rng, shape: rng.lognormal(0, 0.5, shape), np.exp(0.125)),
    "lognormal, sigma 1": (lambda rng, shape: rng.lognormal(size=shape), np.exp(0.5)),
    "5% drop by U(.2, .9)": (lambda rng, shape: _drop(rng, shape, 0.05), -0.0275),
    "5% drop by U(.2, .9) under noise .01": (
        lambda rng, shape: _drop(rng, shape, 0.05) + 0.01 * rng.normal(size=shape),
        -0.0275,
    ),
    "20% drop by U(.2, .9)": (lambda rng, shape: _drop(rng, shape, 0.2), -0.11),
    "Dice, 30% zeros": (
        lambda rng, shape: rng.beta(8, 2, shape) * (rng.random(shape) >= 0.3),
        0.56,
    ),
    "Brier change": (
        lambda rng, shape: rng.beta(2, 5, shape) ** 2 - rng.beta(2, 6, shape) ** 2,
        2 * 3 / (7 * 8) - 2 * 3 / (8 * 9),
    ),
}


def _total(
    rng: Rng, law: Law, patients: int, cohorts: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values that half belong to the patient, half to the image, and weights."""
    images = _sizes(rng, patients, cohorts, most)
    own = law[0](rng, (patients, cohorts))
    if most == 1:
        return own, images
    spread = rng.normal(size=own.shape) * np.sqrt(images) * 0.3
    return own * images + spread, images


def _mean(name: str, patients: int, most: int = 1) -> Design:
    """Means of values; images of a patient share the patient's draw and add noise of their own."""

    def draw(rng: Rng, cohorts: int) -> Interval:
        total, weight = _total(rng, LAWS[name], patients, cohorts, most)
        return mean_interval(total, weight)

    title = f"{name}, {patients} patients" + (f" with 1 to {most} images" if most > 1 else "")
    return Design(title, "mean", patients, LAWS[name][1], draw)


def _mean_extra(name: str, sizes: tuple[int, int]) -> Design:
    """Difference of the means of a small group and the rest, without a true difference."""

    def draw(rng: Rng, cohorts: int) -> Interval:
        drawn = [_total(rng, LAWS[name], n, cohorts, 1) for n in sizes[::-1]]
        parts = [mean_interval(total, weight) for total, weight in drawn]
        return difference_interval(parts[0], parts[1])

    return Design(f"{name}, {sizes[0]} / {sizes[1]} patients", "extra mean", sum(sizes), 0.0, draw)


def _placements(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC [cohorts] and DeLong influences [images, cohorts] of scores without ties."""
    order = np.argsort(score, 0)
    ranked = np.take_along_axis(positive, order, 0)
    up, down = np.cumsum(ranked, 0), np.cumsum(~ranked, 0)
    n_up, n_down = up[-1], down[-1]
    placed = np.where(ranked, down / n_down, 1 - up / n_up)
    area = np.sum(placed * ranked, 0) / n_up
    influence = (placed - area) / np.where(ranked, n_up, n_down)
    out = np.empty_like(influence)
    np.put_along_axis(out, order, influence, 0)
    return area, out


def _auroc_scores(
    rng: Rng, classes: tuple[int, int], area: float, law: str, cohorts: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and labels of images [images, cohorts], and the patients of the images."""
    images = np.concatenate([np.full(n, most) for n in classes])
    patient = np.repeat(np.arange(len(images)), images)
    positive = np.repeat(np.arange(len(images)) < classes[0], images)
    shape = (len(patient), cohorts)
    label = np.broadcast_to(positive[:, None], shape)
    if law == "exponential":
        return rng.exponential(size=shape) * np.where(label, area / (1 - area), 1), label, patient
    shared = rng.normal(size=(len(images), cohorts))[patient] * np.sqrt(0.5 if most > 1 else 0)
    own = rng.normal(size=shape) * np.sqrt(0.5 if most > 1 else 1)
    return shared + own + label * np.sqrt(2) * ndtri(area), label, patient


def _per_patient(influence: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Influences summed per patient; images of a patient are neighbours."""
    return np.add.reduceat(influence, np.flatnonzero(np.diff(patient, prepend=-1)), 0)


def _counts(classes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Patients of both classes as arrays."""
    return np.array(classes[0]), np.array(classes[1])


def _auroc(classes: tuple[int, int], area: float, law: str = "normal", most: int = 1) -> Design:
    """AUROC of patients with `most` images each that correlate by .5."""

    def draw(rng: Rng, cohorts: int) -> Interval:
        score, label, patient = _auroc_scores(rng, classes, area, law, cohorts, most)
        value, influence = _placements(score, label)
        return auroc_interval(value, _per_patient(influence, patient), *_counts(classes))

    name = f"AUROC {area:g}, {law}, {classes[0]} / {classes[1]} patients"
    name += f" with {most} images" if most > 1 else ""
    return Design(name, "auroc", sum(classes), area, draw)


def _auroc_change(classes: tuple[int, int], area: float, noise: float, most: int = 1) -> Design:
    """Change of AUROC where reconstruction adds noise of a standard deviation to the score."""
    after = float(ndtr(ndtri(area) / np.sqrt(1 + noise**2)))

    def draw(rng: Rng, cohorts: int) -> Interval:
        score, label, patient = _auroc_scores(rng, classes, area, "normal", cohorts, most)
        before, first = _placements(score, label)
        other = score + noise * rng.normal(size=score.shape)
        value, second = _placements(other, label)
        summed = _per_patient(second - first, patient)
        return auroc_change_interval(value - before, summed, *_counts(classes))

    name = f"AUROC {area:g} under noise {noise:g}, {classes[0]} / {classes[1]} patients"
    name += f" with {most} images" if most > 1 else ""
    return Design(name, "auroc change", sum(classes), after - area, draw)


def designs() -> list[Design]:
    """All designs of the study."""
    pairs = ((1000, 20), (1000, 100), (150, 60))
    classes = ((20, 20), (20, 200), (50, 50), (50, 500), (200, 200), (500, 500))
    return [
        *(_rate(n, p) for n in (20, 50, 200) for p in (0.5, 0.8, 0.95, 0.99)),
        *(
            _rate(n, p, 12, r)
            for n in (20, 60, 300)
            for p in (0.5, 0.9, 0.98)
            for r in (0.1, 0.5, 1)
        ),
        *(_rate(n, p, rare=True) for n in (20, 50, 200) for p in (0.95, 0.98, 0.99, 0.999)),
        *(_rate(10, p, 6, 0.5) for p in (0.5, 0.8, 0.95)),
        *(_rate_by_size(n) for n in (20, 60, 300)),
        *(_rate(26, p, 100, r) for p in (0.5, 0.9) for r in (0.1, 0.5, 1)),
        *(_change(n, q) for n in (20, 100, 500, 5000) for q in (0.01, 0.02, 0.05, 0.1)),
        *(_change(n, 0.05, 0.05) for n in (20, 100, 1000)),
        *(_change(n, 0.1, 0.02) for n in (20, 100, 1000)),
        *(
            _change(n, q, g, 12, r)
            for n in (20, 100, 500)
            for q, g in ((0.02, 0.0), (0.1, 0.0), (0.05, 0.05))
            for r in (0.1, 0.5, 1)
        ),
        *(
            _change(n, q, g, 12, r, 1 - r)
            for n in (20, 100, 500)
            for q, g in ((0.1, 0.01), (0.1, 0.05))
            for r in (0, 1)
        ),
        *(_change(26, q, 0.0, 100, r) for q in (0.02, 0.2) for r in (0.1, 0.5, 1)),
        *(_extra(s, (q, q)) for s in pairs for q in (0.01, 0.02, 0.05, 0.1)),
        *(_extra(s, (0.02, 0.12)) for s in pairs),
        *(_extra(s, (0.05, 0.05), 0.05) for s in pairs),
        *(_extra(s, (0.05, 0.05), 0.0, 12, 0.5) for s in pairs),
        *(_mean(name, n) for name in LAWS for n in (12, 20, 50, 100, 200, 500)),
        *(_mean(name, n, 6) for name in LAWS for n in (30, 200)),
        *(_mean_extra(name, s) for name in LAWS for s in ((500, 20), (500, 100), (150, 60))),
        *(
            _auroc(c, a, law)
            for c in classes
            for a in (0.75, 0.9, 0.98)
            for law in ("normal", "exponential")
        ),
        *(_auroc(c, a, "normal", 4) for c in classes[:4] for a in (0.75, 0.9, 0.98)),
        *(_auroc_change(c, a, s) for c in classes for a in (0.75, 0.9, 0.98) for s in (0.2, 1.0)),
        *(_auroc_change(c, 0.9, 0.5, 4) for c in classes[:4]),
        *(_extra((1000, 1000), (q, q)) for q in (0.02, 0.1)),
        _extra((300, 300), (0.05, 0.05), 0.05),
        *(
            _change_of_patients(n, q, g, r)
            for n in (20, 100, 500)
            for q, g in ((0.02, 0.0), (0.1, 0.05))
            for r in (0.1, 0.5)
        ),
    ]
