"""Images that the tests of structural metrics share, and what PIQA makes of them."""

from __future__ import annotations

import numpy as np

PIQA = {
    (176, 176, 0.05): (0.98851577, 0.89334838),
    (176, 176, 0.4): (0.74258421, 0.42626641),
    (128, 128, 0.1): (0.95698140, 0.75509248),
    (64, 64, 0.2): (0.84251330, 0.62070313),
    (45, 61, 0.1): (0.94288834, 0.77902038),
    (16, 16, 0.1): (0.47170716, 0.72880399),
}
"""MS-SSIM and HaarPSI by height, width and noise of `textured`.

By PIQA 1.3.2 in float64: `piqa.ssim.ms_ssim` with a Gaussian window of 11 pixels and the first 5,
5, 4, 3, 3 and 1 weights divided by their sum, and `piqa.haarpsi.haarpsi` of images halved by
`avg_pool2d(2, ceil_mode=True)`. Stored because PIQA cannot be imported without torchvision.
"""


def textured(height: int, width: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """An original with waves and a chequered pattern, and it with an error, [H, W] in [0, 1]."""
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    board = (row // 16 + column // 12) % 2 - 0.5
    original = 0.5 + 0.3 * np.sin(row / 7) * np.cos(column / 11) + 0.2 * board
    error = noise * np.sin(12.9898 * row + 78.233 * column + row * column / 3)
    return original, np.clip(original + error, 0, 1)


def noisy(deviations: tuple[float, ...], side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An original B times, and with white noise of rising strength, [B, H, W, 1] float32."""
    original, _ = textured(side, side, 0)
    drawn = np.random.default_rng(0).normal(size=(side, side))
    images = [np.clip(original + deviation * drawn, 0, 1) for deviation in deviations]
    stacked = np.stack(images)[..., None].astype(np.float32)
    return np.broadcast_to(original[None, ..., None].astype(np.float32), stacked.shape), stacked
