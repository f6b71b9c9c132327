"""Lines through the spectrum: where they lie, that none is there twice, and that the strong ones
come first.
"""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.physics import spectral_lines
from fairrecon_jax.physics.geometry import parallel_beam

PERIOD = 96
KINDS = [spectral_lines.of_image, spectral_lines.of_projections]


def replicas(beam, lines):
    """n [A, L, J] of the line (kx, ky) = k (c, -s) + n (s, c), from the projection of (kx, ky) on
    its normal.
    """
    angle = beam.first_eighth[:, None, None]
    return lines.kx * np.sin(angle) + lines.ky * np.cos(angle)


@pytest.mark.parametrize("kind", KINDS)
def test_terms_lie_on_the_lines_and_have_the_row_transforms_frequencies(kind):
    beam = parallel_beam(32)
    lines = kind(beam, 5, PERIOD)
    angle = beam.first_eighth[:, None, None]
    assert (
        lines.kx.shape
        == lines.ky.shape
        == lines.k.shape
        == lines.weight.shape
        == (9, 5, PERIOD // 2 + 1)
    )
    n, lap = replicas(beam, lines), lines.kx - np.arange(PERIOD // 2 + 1) / PERIOD
    np.testing.assert_allclose(n, np.round(n), atol=1e-12)
    np.testing.assert_allclose(lap, np.round(lap), atol=1e-12)
    np.testing.assert_allclose(
        lines.k, lines.kx * np.cos(angle) - lines.ky * np.sin(angle), atol=1e-12
    )
    assert np.any(np.round(n)) == (kind is spectral_lines.of_image)


@pytest.mark.parametrize("kind", KINDS)
def test_no_term_is_there_twice(kind):
    beam = parallel_beam(32)
    lines = kind(beam, 9, PERIOD)
    terms = np.round(
        np.stack([lines.kx - np.arange(PERIOD // 2 + 1) / PERIOD, replicas(beam, lines)], axis=-1)
    ).astype(int)
    for by_line in terms.transpose(0, 2, 1, 3).reshape(-1, 9, 2):
        assert len({tuple(term) for term in by_line}) == 9


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_line_is_the_plain_one_at_low_frequencies(kind):
    lines = kind(parallel_beam(32), 3, PERIOD)
    low = np.arange(PERIOD // 2 + 1) / PERIOD < 0.25
    expected = np.broadcast_to(np.arange(PERIOD // 2 + 1) / PERIOD, lines.kx[:, 0].shape)
    np.testing.assert_allclose(lines.kx[:, 0][:, low], expected[:, low])


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_lines_are_the_first_of_more(kind):
    few, more = kind(parallel_beam(32), 4, PERIOD), kind(parallel_beam(32), 7, PERIOD)
    for part in ("kx", "ky", "k", "weight"):
        np.testing.assert_array_equal(getattr(few, part), getattr(more, part)[:, :4])


def test_weights_by_hand():
    """At 45 degrees and kx = 1/4: sinc(1/4)^4 sqrt(2) for the image, sinc(sqrt(2)/4)^2 sqrt(2) for
    the projections.
    """
    beam, quarter = parallel_beam(32), PERIOD // 4
    image, projections = (kind(beam, 1, PERIOD).weight[-1, 0, quarter] for kind in KINDS)
    assert image == pytest.approx(np.sinc(0.25) ** 4 * np.sqrt(2), rel=1e-12)
    assert projections == pytest.approx(np.sinc(np.sqrt(2) / 4) ** 2 * np.sqrt(2), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "period"), [(6, 96), (1, 96), (1, 40)])
def test_nothing_is_interpolated_at_0_degrees(kind, count, period):
    """With the period 40 the last block is the frequency 1/2 alone, for which two terms tie."""
    lines = kind(parallel_beam(32), count, period)
    np.testing.assert_array_equal(lines.weight[0].sum(axis=0), 1)
    np.testing.assert_allclose(
        (lines.weight * lines.kx)[0].sum(axis=0), np.arange(period // 2 + 1) / period
    )


@pytest.mark.parametrize("kind", KINDS)
def test_no_lines_are_refused(kind):
    with pytest.raises(ValueError, match="-1 lines per angle: at least 1 is needed"):
        kind(parallel_beam(32), -1, PERIOD)
