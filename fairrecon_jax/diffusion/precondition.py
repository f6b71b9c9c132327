"""Scaling of a noise network's input and output, so that both have unit size at every time."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from fairrecon_jax.diffusion.sde import SDE, at
from fairrecon_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Precondition:
    """A clean estimate of which the network gives only what is not known beforehand.

    X_t = mu + k_t (x_t - mu) + c_t F((x_t - mu) / s_t, mu, t) with s_t^2 = a_t^2 sd^2 + sg_t^2,
    c_t^2 = (1 - k_t a_t)^2 sd^2 + k_t^2 sg_t^2 and k_t = a_t fine^2 / (a_t^2 fine^2 + sg_t^2): the
    best linear estimate of a white x_0 - mu of deviation `fine`. What a degraded image lacks is
    mostly smooth, and seen in mu. With fine = sd the linear part would hand on noise that F had to
    take out again.

    Attributes:
      sde: the equation.
      sd: deviation of x_0 - mu over pixels.
      fine: deviation of that part of it which neighbouring pixels do not share.

    Example:
      >>> scaled = Precondition(SDE(T=10), sd=0.2, fine=0.05)
      >>> float(scaled.scale[0]), float(scaled.skip[0])  # at time 0 nothing is left to estimate
      (0.0, 1.0)

    Reference:
      Karras, Aittala, Aila, Laine, "Elucidating the Design Space of Diffusion-Based Generative
        Models", NeurIPS 2022.
    """

    sde: SDE
    sd: float
    fine: float

    def __post_init__(self) -> None:
        # In this form NaN is refused as well.
        if not 0 < self.fine <= self.sd:
            raise ValueError(
                f"precondition needs deviations 0 < fine <= sd, got sd {self.sd} and fine "
                f"{self.fine}"
            )

    @functools.cached_property
    def size(self) -> np.ndarray:
        """[T + 1] float64, s_t: the deviation of x_t - mu."""
        return np.sqrt(self.sde.a**2 * self.sd**2 + self.sde.sg**2)

    @functools.cached_property
    def skip(self) -> np.ndarray:
        """[T + 1] float64, k_t."""
        return self.sde.a * self.fine**2 / (self.sde.a**2 * self.fine**2 + self.sde.sg**2)

    @functools.cached_property
    def scale(self) -> np.ndarray:
        """[T + 1] float64, c_t: the deviation of what F has to give; 0 at t = 0."""
        return np.sqrt(
            (1 - self.skip * self.sde.a) ** 2 * self.sd**2 + self.skip**2 * self.sde.sg**2
        )

    @functools.cached_property
    def gain(self) -> np.ndarray:
        """[T + 1] float64, how far the mean of a reverse step moves per unit of F: 2 lam^2 theta_t
        dt a_t c_t / sg_t^2; 1 at t = 0.
        """
        sde = self.sde
        moved = 2 * sde.lam**2 * sde.theta * sde.dt * sde.a * self.scale
        # 0 / 0 at t = 0; 1, because losses are divided by the gain.
        return np.divide(moved, sde.sg**2, out=np.ones(sde.T + 1), where=sde.sg > 0)

    def noise(self, x: Array, mu: Array, t: Array, output: Array) -> jax.Array:
        """The noise that belongs to the clean estimate, e = (x_t - mu - a_t (X_t - mu)) / sg_t.

        Args:
          x: x_t [B, H, W, C].
          mu: degraded images [B, H, W, C].
          t: [B] int32 in 1 .. T.
          output: of F [B, H, W, C].

        Returns:
          [B, H, W, C] float32.
        """
        sde = self.sde
        # sg_0 = 0: no noise is estimated at time 0.
        # X_t is put into the formula, so that the division by a small sg_t is in float64.
        of_state, of_output = (
            np.divide(part, sde.sg, out=np.zeros(sde.T + 1), where=sde.sg > 0)
            for part in (1 - sde.a * self.skip, sde.a * self.scale)
        )
        return at(of_state, t) * (x - mu) - at(of_output, t) * output
