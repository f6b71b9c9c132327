"""The exact law of a sample where the originals are Gaussian: every step of a sampler is then an
affine map.

Originals are N(mu + OFFSET, sd^2) per pixel and mu = 0. The best noise estimate follows from E[x_0
| x_t], which is affine in x_t.
"""

from __future__ import annotations

import numpy as np

from fairrecon_jax.diffusion import SDE, Sampler, step_table

OFFSET, SD = 0.1, 0.05
TO_GREY = 255.0


def posterior_line(a: float, sg: float, sd: float = SD) -> tuple[float, float]:
    """Slope and intercept of E[x_0 | x_t = x]."""
    slope = sd**2 * a / (a**2 * sd**2 + sg**2)
    return slope, OFFSET * (1 - slope * a)


def propagate(sde: SDE, table: np.ndarray, sd: float = SD) -> tuple[float, float, np.ndarray]:
    """(mean, deviation) of the sample from x_T ~ N(0, lam^2), and (slope, intercept) of the sample
    as a function of x_T without noise.

    The state is (x, X_prev): a step of second order looks back at the clean estimate of the step
    before.
    """
    mean, covariance = np.zeros(2), np.diag([sde.lam**2, 0.0])
    line, before = np.array([1.0, 0.0]), np.zeros(2)
    for _, a, sg, p, q, w, n in table:
        slope, intercept = posterior_line(a, sg, sd)
        matrix = np.array([[p + (q + w) * slope, -w], [slope, 0.0]])
        mean = matrix @ mean + np.array([(q + w) * intercept, intercept])
        covariance = matrix @ covariance @ matrix.T + np.diag([n**2, 0.0])
        clean = slope * line + np.array([0.0, intercept])
        line, before = p * line + q * clean + w * (clean - before), clean
    return mean[0], float(np.sqrt(covariance[0, 0])), line


def wasserstein(sde: SDE, sampler: Sampler, sd: float = SD) -> float:
    """The Wasserstein-2 distance of the sample's law to that of the originals."""
    mean, deviation, _ = propagate(sde, step_table(sde, sampler), sd)
    return float(np.hypot(mean - OFFSET, deviation - sd))


def pathwise(sde: SDE, sampler: Sampler, sd: float = SD) -> float:
    """The root mean square over x_T ~ N(0, lam^2) of the difference to the exact solution of the
    probability flow.
    """
    a, sg = sde.a[-1], sde.sg[-1]
    slope = sd / np.hypot(a * sd, sg)
    exact = np.array([slope, OFFSET - slope * a * OFFSET])
    difference = propagate(sde, step_table(sde, sampler), sd)[2] - exact
    return float(np.hypot(difference[0] * sde.lam, difference[1]))
