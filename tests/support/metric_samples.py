"""Random images, decisions and scores that metrics are compared on."""

from __future__ import annotations

import numpy as np


def image_pair(seed=0, shape=(3, 40, 32, 1)) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image in [0, 1] and a noisy copy of it, clipped."""
    r = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(r.normal(0, 1, shape), 1), 2)
    original = (smooth - smooth.min()) / np.ptp(smooth)
    return original, np.clip(original + r.normal(0, 0.1, shape), 0, 1)


def random_decisions(seed, groups=4, n=500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, decisions and groups: one label in ten and one group in twenty are unknown."""
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n).astype(float)
    y[r.random(n) < 0.1] = np.nan
    group = r.choice(groups, n, p=np.arange(1, groups + 1) / np.arange(1, groups + 1).sum())
    group[r.random(n) < 0.05] = -1
    return y, r.random(n) < 0.3 + 0.3 * np.nan_to_num(y) + 0.05 * group, group


def random_scores(seed, n=300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with many ties, labels of which one in ten is unknown, and weights from 0 to 3."""
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n).astype(float)
    score = np.round(np.clip(0.5 + 0.2 * (y - 0.5) + r.normal(0, 0.2, n), 0, 1), 2)  # many ties
    y[r.random(n) < 0.1] = np.nan
    return score, y, r.integers(0, 4, n).astype(float)
