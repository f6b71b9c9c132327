"""The small reference sample of the package's numbers: NumPy only, seed 0."""

import numpy as np

THRESHOLD = 0.5698025243585016


def sample():
    r = np.random.default_rng(0)
    n = 400
    sex = r.integers(0, 2, n)
    race = r.choice(3, n, p=[0.7, 0.27, 0.03])
    y = r.integers(0, 2, n)
    s = 1 / (1 + np.exp(-(1.2 * (2 * y - 1) + 0.5 * sex - 0.4 * (race == 2) + r.normal(0, 1.5, n))))
    dice = np.clip(0.75 - 0.05 * sex + r.normal(0, 0.1, n), 0, 1)
    return sex, race, y, s, dice
