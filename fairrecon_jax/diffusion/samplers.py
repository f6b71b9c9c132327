"""Samplers of the reverse equation: a table of coefficients per method, and one scan that runs any
of them.

Every step from time t to s < t is

  x_s = mu + p (x_t - mu) + q (X_t - mu) + w (X_t - X_prev) + n z,
  X_t = mu + (x_t - mu - sg_t e(x_t, t)) / a_t,

with X_prev the clean estimate of the step before and z standard normal. With l_t = ln(a_t / sg_t),
h = l_s - l_t and h' the h before:

  ode        p = sg_s / sg_t,  q = a_s (1 - e^-h),
             order 2 adds w = a_s (1 - (1 - e^-h) / h) h / h'
  sde        p = (sg_s / sg_t) e^-h,  q = a_s (1 - e^-2h),  n = sg_s sqrt(1 - e^-2h),
             order 2 adds w = a_s (1 - (1 - e^-2h) / (2h)) h / h'
  posterior  the law of x_s given x_t and x_0 = X_t (equal to `sde` of order 1)
  euler_sde  p = 1 + d - c,  q = c a_t,  n = lam sqrt(2 d),  d = Th_t - Th_s,
             c = 2 lam^2 d / sg_t^2 (the paper's, with unit steps)
  euler_ode  the same with c = lam^2 d / sg_t^2 and n = 0

First and last step are of order 1; the last step of `ode`, `sde` and `posterior` returns X_t.

References:
  Luo et al., ICML 2023 (Euler).
  Li et al., "MaRS: A Fast Sampler for Mean Reverting Diffusion based on ODE and SDE Solvers", ICLR
    2025, arXiv 2502.07856 (exponential integrators).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diffusion.sde import SDE
from fairrecon_jax.types import Array, Key, meant

Method = Literal["euler_sde", "euler_ode", "posterior", "ode", "sde"]
TITLES: dict[Method, str] = {
    "euler_sde": "Euler SDE",
    "euler_ode": "Euler ODE",
    "posterior": "posterior",
    "ode": "ODE",
    "sde": "SDE",
}
METHODS: tuple[Method, ...] = tuple(TITLES)
COLUMNS = ("t", "a", "sg", "p", "q", "w", "n")
"""Columns of a step table; see the module's formula."""

NoiseModel = Callable[[jax.Array, jax.Array], jax.Array]
"""`noise(x [B, H, W, C], t [B] float32) -> e [B, H, W, C]`."""


class Coefficients(NamedTuple):
    """One step's p, q, w and n."""

    p: float
    q: float
    w: float = 0.0
    n: float = 0.0


@dataclass(frozen=True)
class Sampler:
    """A method, its number of steps (= network evaluations) and where they lie: t_i = round(T (1 -
    i / steps)^rho), i = 0 .. steps.

    Attributes:
      method: see the module.
      steps: number of steps.
      order: 1 or 2 of "ode" and "sde"; the others have 1.
      rho: 1 = equal steps, above 1 = shorter steps towards time 0.

    Raises:
      ValueError: a field is out of its range.

    Example:
      >>> Sampler("ode", steps=4, order=2).grid(T=100).tolist()
      [100, 75, 50, 25, 0]
    """

    method: Method = "euler_sde"
    steps: int = 100
    order: int = 1
    rho: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(
                f"unknown sampling method {self.method!r}; choose one of {', '.join(METHODS)}"
                f"{meant(self.method, METHODS)}"
            )
        if self.order not in ((1, 2) if self.method in ("ode", "sde") else (1,)):
            raise ValueError(
                f"{self.method} has no order {self.order}: order 2 is for ode and sde, "
                "the others have order 1"
            )
        if not self.rho > 0:
            raise ValueError(f"rho must be positive, got {self.rho}")
        if self.steps < 1:
            raise ValueError(f"a sampler needs at least 1 step, got {self.steps}")

    @property
    def title(self) -> str:
        """Method, order and steps in words: "ODE, order 2, 10 steps"."""
        order = f", order {self.order}" if self.method in ("ode", "sde") else ""
        return f"{TITLES[self.method]}{order}, {self.steps} steps"

    def grid(self, T: int) -> np.ndarray:
        """The times [steps + 1] int64, from T down to 0.

        Raises:
          ValueError: two times are the same.
        """
        # Whole times: the network was trained at no others.
        times = np.round(T * (1 - np.arange(self.steps + 1) / self.steps) ** self.rho).astype(
            np.int64
        )
        # Rounding merges times that are less than 1 apart.
        if (np.diff(times) >= 0).any():
            raise ValueError(
                f"{self.steps} steps with rho {self.rho:g} do not fit on {T} times: two "
                "of them are the same; "
                "take fewer steps or a rho nearer 1"
            )
        return times


PRESETS: dict[str, Sampler] = {
    "paper": Sampler("euler_sde", 100),
    "ode2_5": Sampler("ode", 5, 2),
    "ode2_10": Sampler("ode", 10, 2),
    "ode2_15": Sampler("ode", 15, 2, 1.5),
    "sde2_20": Sampler("sde", 20, 2, 1.75),
}
"""Samplers by name. "paper" is the published one; "ode2_5" is for validation while training."""


def make_sampler(
    preset: str = "paper",
    method: str | None = None,
    steps: int | None = None,
    order: int | None = None,
    rho: float | None = None,
) -> Sampler:
    """A preset, with the given fields in place of its own.

    Args:
      preset: a name in `PRESETS`.
      method: see `Sampler`, like those that follow; None keeps the preset's.
      steps: number of steps.
      order: 1 or 2.
      rho: spacing of the steps.

    Raises:
      ValueError: there is no such preset, or the fields do not go together.

    Example:
      >>> make_sampler("ode2_15", steps=12)
      Sampler(method='ode', steps=12, order=2, rho=1.5)
    """
    if preset not in PRESETS:
        raise ValueError(
            f"unknown sampling preset {preset!r}; choose one of {', '.join(PRESETS)}"
            f"{meant(preset, PRESETS)}"
        )
    chosen: dict[str, Any] = {"method": method, "steps": steps, "order": order, "rho": rho}
    # `replace` checks anew: order 2 cannot stay behind when the method changes.
    return dataclasses.replace(
        PRESETS[preset], **{name: value for name, value in chosen.items() if value is not None}
    )


def step_table(sde: SDE, sampler: Sampler) -> np.ndarray:
    """The coefficients of every step.

    Args:
      sde: gives the tables.
      sampler: method and grid.

    Returns:
      [steps, 7] float64 with the columns `COLUMNS`.

    Raises:
      ValueError: the grid does not fit on the equation's times.

    Example:
      >>> table = step_table(SDE(T=100), Sampler("ode", steps=4))
      >>> table.shape, table[:, 0].tolist()  # a row per step, from time 100 on
      ((4, 7), [100.0, 75.0, 50.0, 25.0])
    """
    grid, rows, before = sampler.grid(sde.T), [], None
    for t, s in itertools.pairwise(grid):
        if sampler.method in ("euler_sde", "euler_ode"):
            step = _euler(sde, t, s, sampler.method == "euler_sde")
        elif sampler.method == "posterior":
            step = _posterior(sde, t, s)
        else:
            step = _exponential(
                sde, t, s, sampler.method == "sde", before if sampler.order == 2 else None
            )
            # Infinite behind the last step, where nothing reads it.
            before = _log_ratio(sde, s) - _log_ratio(sde, t)
        rows.append((t, sde.a[t], sde.sg[t], *step))
    return np.array(rows, np.float64)


def _log_ratio(sde: SDE, t: int) -> float:
    """ln(a_t / sg_t); infinite at time 0."""
    return math.log(sde.a[t] / sde.sg[t]) if t > 0 else math.inf


def _euler(sde: SDE, t: int, s: int, noisy: bool) -> Coefficients:
    """Euler's step of the equation (noisy) or of its probability flow."""
    # As published, the step to time 0 adds its noise too.
    d = sde.Th[t] - sde.Th[s]
    c = (2 if noisy else 1) * sde.lam**2 * d / sde.sg[t] ** 2
    return Coefficients(1 + d - c, c * sde.a[t], n=sde.lam * math.sqrt(2 * d) if noisy else 0.0)


def _posterior(sde: SDE, t: int, s: int) -> Coefficients:
    """Mean and deviation of x_s given x_t and x_0."""
    # 1 - a^2 cancels near time 0, by 4 of float64's 16 digits: float32 sees nothing of it.
    between, below = sde.a[t] / sde.a[s], 1 - sde.a[t] ** 2
    left, gained = 1 - sde.a[s] ** 2, 1 - between**2
    return Coefficients(
        between * left / below,
        sde.a[s] * gained / below,
        n=sde.lam * math.sqrt(left * gained / below),
    )


def _exponential(sde: SDE, t: int, s: int, noisy: bool, before: float | None) -> Coefficients:
    """The exact step for a clean estimate that is constant (order 1) or linear in l (order 2, where
    `before` is the h before).
    """
    h, rate = _log_ratio(sde, s) - _log_ratio(sde, t), 2 if noisy else 1
    # 1 - e^-x without cancellation at short steps.
    gained = -math.expm1(-rate * h)
    # At s = 0: p = 0, q = a_0 = 1 and n = sg_0 = 0, so the step returns X_t.
    p = sde.sg[s] / sde.sg[t] * (math.exp(-h) if noisy else 1.0)
    # The last step has h infinite, and nothing to be linear in: it is of order 1.
    second = before is not None and math.isfinite(h)
    w = sde.a[s] * (1 - gained / (rate * h)) * h / before if second and before is not None else 0.0
    return Coefficients(p, sde.a[s] * gained, w, sde.sg[s] * math.sqrt(gained) if noisy else 0.0)


def initial_state(mu: Array, keys: Key, lam: float) -> jax.Array:
    """Where sampling starts: mu + lam z, z drawn from stream 0 of each example's key.

    Args:
      mu: degraded images [B, H, W, C].
      keys: [B].
      lam: the stationary noise level.

    Returns:
      [B, H, W, C] float32.

    Example:
      >>> keys = jax.random.split(jax.random.key(0), 2)  # one per image
      >>> start = initial_state(np.full((2, 32, 32, 1), 0.5), keys, lam=0.1)
      >>> start.shape, round(float(start.std()), 1)
      ((2, 32, 32, 1), 0.1)
    """
    return jnp.asarray(mu, jnp.float32) + lam * _normal(keys, 0, mu.shape[1:])


def sample(
    noise: NoiseModel, mu: Array, keys: Key, table: np.ndarray, lam: float, clip: bool = False
) -> jax.Array:
    """Runs a step table from `initial_state` to time 0.

    All randomness is a function of the example's key and the step, so that a sample does not depend
    on the batch it is in.

    Args:
      noise: the network's noise estimate.
      mu: degraded images [B, H, W, C].
      keys: one key per example [B].
      table: from `step_table`; a constant of the compiled program.
      lam: the stationary noise level.
      clip: clip every clean estimate to [0, 1].

    Returns:
      Samples [B, H, W, C] float32, not clipped.

    Example:
      >>> degraded, keys = np.full((2, 4, 4, 1), 0.5), jax.random.split(jax.random.key(0), 2)
      >>> table = step_table(SDE(T=10, lam=0.1), Sampler("ode", steps=2))
      >>> sample(lambda x, t: jnp.zeros_like(x), degraded, keys, table, lam=0.1).shape
      (2, 4, 4, 1)
    """
    # Known when the program is compiled: a deterministic sampler draws nothing.
    mu, noisy = jnp.asarray(mu, jnp.float32), bool(table[:, COLUMNS.index("n")].any())

    def step(
        carry: tuple[jax.Array, jax.Array], row: tuple[jax.Array, tuple[jax.Array, ...]]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        (x, before), (number, (t, a, sg, p, q, w, n)) = carry, row
        # The table is float32 as a whole, hence a float t.
        clean = mu + (x - mu - sg * noise(x, jnp.broadcast_to(t, mu.shape[:1]))) / a
        # Before it is kept: the extrapolation of order 2 reads clipped estimates too.
        if clip:
            clean = jnp.clip(clean, 0.0, 1.0)
        x = mu + p * (x - mu) + q * (clean - mu) + w * (clean - before)
        if noisy:
            x = x + n * _normal(keys, number, mu.shape[1:])
        return (x, clean), None

    # Stream 0 of each key gave the start; step i draws from stream i. There is no X before the
    # first, whose w is 0.
    start = initial_state(mu, keys, lam), jnp.zeros_like(mu)
    rows = jnp.arange(1, len(table) + 1), tuple(jnp.asarray(table.T, jnp.float32))
    # A scan compiles the network once, whatever the number of steps.
    return jax.lax.scan(step, start, rows)[0][0]


def _normal(keys: Key, stream: int | Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal values [B, *shape] from one stream of each key."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, stream), shape))(keys)
