"""The mean-reverting stochastic differential equation that turns an original image into its
degraded version plus a little noise.

dx = theta_t (mu - x) dt + sigma_t dw with sigma_t^2 = 2 lam^2 theta_t, mu the degraded image and
x_0 the original. Times are the integers 0 .. T; with Th_t the integral of theta, a_t = exp(-Th_t)
and sg_t = lam sqrt(1 - a_t^2):

  x_t | x_0 ~ N(mu + a_t (x_0 - mu), sg_t^2),  a_T = eps.

A network learns the noise e of x_t = mu + a_t (x_0 - mu) + sg_t e; the score is -e / sg_t.

References:
  Luo, Gustafsson, Zhao, Sjölund, Schön, "Image Restoration with Mean-Reverting Stochastic
    Differential Equations", ICML 2023.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.types import Array

Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class SDE:
    """The equation on T unit steps; tables are float64 numpy of length T + 1, everything computed
    from them is float32.

    Attributes:
      schedule: theta_t before scaling: "cosine" (paper; 1 - a squared cosine), "linear" (from
        0.0001 to 0.02) or "constant".
      T: number of steps.
      lam: stationary noise level, in units of the image range (10/255 in the paper).
      eps: a_T, what is left of the original at time T.

    Raises:
      ValueError: a field is out of its range.

    Example:
      >>> sde = SDE(T=100, lam=0.04, eps=0.01)
      >>> round(float(sde.a[0]), 4), round(float(sde.a[-1]), 4), round(float(sde.sg[-1]), 4)
      (1.0, 0.01, 0.04)
    """

    schedule: Schedule = "cosine"
    T: int = 100
    lam: float = 10 / 255
    eps: float = 0.005

    def __post_init__(self) -> None:
        if self.schedule not in ("cosine", "linear", "constant"):
            raise ValueError(f"schedule must be cosine, linear or constant, got {self.schedule!r}")
        if self.T < 1:
            raise ValueError(f"T must be at least 1 step, got {self.T}")
        if not self.lam > 0:
            raise ValueError(f"lam must be positive, got {self.lam}")
        if not 0 < self.eps < 1:
            raise ValueError(f"eps must lie between 0 and 1, got {self.eps}")

    # -- tables

    @functools.cached_property
    def theta(self) -> np.ndarray:
        """[T + 1] float64, the speed of mean reversion before scaling by `dt`; theta_0 has no part
        in anything.
        """
        if self.schedule == "linear":
            return np.linspace(1e-4, 0.02, self.T + 1)
        if self.schedule == "constant":
            return np.ones(self.T + 1)
        # As published: a cosine of T + 2 steps, without its ends.
        count = self.T + 2
        angle = (np.linspace(0, count, count + 1) / count + 0.008) / 1.008 * math.pi / 2
        left = np.cos(angle) ** 2
        return 1 - (left / left[0])[1:-1]

    @functools.cached_property
    def dt(self) -> float:
        """The length of one step: -ln(eps) / (theta_1 + ... + theta_T), so that a_T = eps."""
        return -math.log(self.eps) / float(self.theta[1:].sum())

    @functools.cached_property
    def Th(self) -> np.ndarray:
        """[T + 1] float64, dt (theta_1 + ... + theta_t): the integral of theta."""
        return np.concatenate([[0.0], np.cumsum(self.theta[1:])]) * self.dt

    @functools.cached_property
    def a(self) -> np.ndarray:
        """[T + 1] float64, a_t = exp(-Th_t): from 1 down to eps."""
        return np.exp(-self.Th)

    @functools.cached_property
    def sg(self) -> np.ndarray:
        """[T + 1] float64, sg_t = lam sqrt(1 - a_t^2): from 0 up to almost lam."""
        # 1 - a^2 would cancel near t = 0.
        return self.lam * np.sqrt(-np.expm1(-2 * self.Th))

    @functools.cached_property
    def _optimal(self) -> tuple[np.ndarray, np.ndarray]:
        """[T + 1] float64 each, the weights of x_t - mu and of x_0 - mu in the optimal reverse
        state; index 0 is not used.
        """
        step, total, before = self.theta * self.dt, self.Th, np.concatenate([[0.0], self.Th[:-1]])
        # Index 0 is never read; 1 spares it a division by 0.
        total = np.where(np.arange(self.T + 1) > 0, total, 1.0)
        below = -np.expm1(-2 * total)
        # At t = 1 this is 0 and the next 1: the optimal state at time 0 is the image itself.
        of_state = np.exp(-step) * -np.expm1(-2 * before) / below
        of_image = np.exp(-before) * -np.expm1(-2 * step) / below
        return of_state, of_image

    # -- the process

    def forward(self, image: Array, mu: Array, t: Array, noise: Array) -> jax.Array:
        """The state at time t: x_t = mu + a_t (x_0 - mu) + sg_t e.

        Args:
          image: x_0 [B, H, W, C].
          mu: degraded image [B, H, W, C].
          t: [B] int32 in 0 .. T.
          noise: e [B, H, W, C], standard normal.

        Returns:
          [B, H, W, C] float32.
        """
        return jnp.asarray(mu) + at(self.a, t) * (image - mu) + at(self.sg, t) * noise

    def score(self, noise: Array, t: Array) -> jax.Array:
        """The score of x_t given x_0: -e / sg_t, for t [B] in 1 .. T."""
        return -jnp.asarray(noise) / at(self.sg, t)

    def clean(self, x: Array, mu: Array, t: Array, noise: Array) -> jax.Array:
        """The clean estimate X_t = mu + (x_t - mu - sg_t e) / a_t; differentiable, not clipped.

        An error of the noise is amplified by sg_t / a_t: 0.1 at half of the default's time, 7.8 at
        its end.

        Args:
          x: x_t [B, H, W, C].
          mu: degraded image [B, H, W, C].
          t: [B] int32 in 0 .. T.
          noise: estimate of e [B, H, W, C].

        Returns:
          [B, H, W, C] float32.
        """
        return jnp.asarray(mu) + (x - mu - at(self.sg, t) * noise) / at(self.a, t)

    def reverse_mean(self, x: Array, mu: Array, t: Array, noise: Array) -> jax.Array:
        """The mean of one Euler step of the reverse equation, x_t - (theta_t (mu - x_t) - sigma_t^2
        score) dt.

        Args:
          x: x_t [B, H, W, C].
          mu: degraded image [B, H, W, C].
          t: [B] int32 in 1 .. T.
          noise: estimate of e [B, H, W, C].

        Returns:
          [B, H, W, C] float32, an estimate of x_{t-1}.
        """
        step = self.theta * self.dt
        # sg_0 = 0: no step starts at time 0.
        # sigma_t^2 dt over sg_t: the 1 / sg_t of the score is in the table, in float64.
        pull = np.divide(
            2 * self.lam**2 * step, self.sg, out=np.zeros(self.T + 1), where=self.sg > 0
        )
        return jnp.asarray(x) + at(step, t) * (x - mu) - at(pull, t) * noise

    def optimal_reverse(self, x: Array, image: Array, mu: Array, t: Array) -> jax.Array:
        """The most likely x_{t-1} given x_t and x_0, which is its conditional mean.

        mu + A (1 - C^2) / (1 - B^2) (x_t - mu) + C (1 - A^2) / (1 - B^2) (x_0 - mu), A =
        exp(-theta_t dt), B = a_t, C = a_{t-1}.

        Args:
          x: x_t [B, H, W, C].
          image: x_0 [B, H, W, C].
          mu: degraded image [B, H, W, C].
          t: [B] int32 in 1 .. T.

        Returns:
          [B, H, W, C] float32.
        """
        of_state, of_image = self._optimal
        return jnp.asarray(mu) + at(of_state, t) * (x - mu) + at(of_image, t) * (image - mu)


def at(table: np.ndarray, t: Array) -> jax.Array:
    """Entries of a table at the times of a batch, shaped to multiply images: [B] int32 -> [B, 1, 1,
    1] float32.
    """
    # Rounded after all arithmetic on the tables.
    return jnp.asarray(table, jnp.float32)[t][:, None, None, None]
