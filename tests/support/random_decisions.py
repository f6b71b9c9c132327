"""Random labels, decisions and groups, some of them unknown."""

import numpy as np


def random_decisions(seed, groups=4, n=500):
    """Labels (NaN unknown), decisions and unequal groups (-1 unknown) of `n` examples."""
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n).astype(float)
    y[r.random(n) < 0.1] = np.nan
    group = r.choice(groups, n, p=np.arange(1, groups + 1) / np.arange(1, groups + 1).sum())
    group[r.random(n) < 0.05] = -1
    return y, r.random(n) < 0.3 + 0.3 * np.nan_to_num(y) + 0.05 * group, group
