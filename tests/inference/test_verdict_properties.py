"""Verdicts, detectable changes and adjusted p-values on hand-made results: every branch, symmetry
and refusal, without a cohort.
"""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from scipy.stats import chi2, false_discovery_control, norm

from fairrecon_jax.inference.did_result import REASONS, DidResult
from fairrecon_jax.inference.multiplicity import adjust, benjamini_hochberg, holm
from fairrecon_jax.inference.power import equivalent, minimum_detectable_change
from fairrecon_jax.inference.verdict import judge, latent_alike, select

NAMES = ("a", "b", "c")
DICE = dict(quantities=("Dice",), is_rate=False)
FPR = (0.2, 0.2, 0.2)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def decision_change(
    before, after, variance=1e-4, p=0.001, estimable=True, patients=400.0, critical=2.5
):
    """A result with given rates [L, G]; a stratum that is not estimable has too few patients."""
    before, after = np.atleast_2d(np.array(before, float)), np.atleast_2d(np.array(after, float))
    inside = np.broadcast_to(estimable, before.shape)
    variance, count = (
        np.broadcast_to(np.asarray(variance, float), before.shape),
        np.broadcast_to(patients, before.shape),
    )
    weight = np.where(inside, 1 / variance, 0)
    mass = np.maximum(weight.sum(-1, keepdims=True), 1e-30)
    change = after - before
    pooled = (weight * change).sum(-1) / mass[:, 0]
    deviation = np.where(inside, change - pooled[:, None], np.nan)
    error = np.where(inside, np.sqrt(variance * (1 - weight / mass)), np.nan)
    blank = np.zeros(before.shape)
    given = dict(
        statistic=np.array(9.0),
        p_value=np.array(p),
        change=change,
        pooled=pooled,
        deviation=deviation,
        std_error=error,
    )
    given |= dict(
        variance=np.where(inside, variance, np.nan), critical=np.array(critical), estimable=inside
    )
    given |= dict(
        ci_low=deviation - critical * error,
        ci_high=deviation + critical * error,
        reason=np.where(inside, 0, 2),
    )
    given |= dict(
        n_images=count,
        n_patients=count,
        n_effective=count,
        rate_original=before,
        rate_reconstructed=after,
    )
    given |= dict(
        probit_change=norm.ppf(np.clip(after, 0.001, 0.999))
        - norm.ppf(np.clip(before, 0.001, 0.999))
    )
    return DidResult(**{name: given.get(name, blank) for name in DidResult._fields})


WIDENED = ([FPR, (0.8, 0.8, 0.8)], [FPR, (0.8, 0.8, 0.6)])


def test_time_turned_round_turns_the_verdict():
    forward, backward = (
        judge(decision_change(*WIDENED), NAMES),
        judge(decision_change(*WIDENED[::-1]), NAMES),
    )
    assert (forward.verdict, forward.group, forward.label, forward.direction) == (
        "widened",
        "c",
        "sensitivity",
        "down",
    )
    assert (backward.verdict, backward.group, backward.label, backward.direction) == (
        "narrowed",
        "c",
        "sensitivity",
        "up",
    )
    assert (
        "sensitivity of c changed by -0.200, all groups together by -0.067 (p = 0.001)"
        in forward.reason
    )
    assert "largest gap 0.000 before, 0.200 after" in forward.reason


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_named_group_follows_its_name(order):
    order = list(order)
    actual = judge(
        decision_change(*(np.array(rate)[:, order] for rate in WIDENED)), [NAMES[i] for i in order]
    )
    assert (actual.verdict, actual.group, actual.direction) == ("widened", "c", "down")


@pytest.mark.parametrize("p", [0.05, 0.0500001, float("nan")])
def test_a_p_at_alpha_counts_and_one_above_does_not(p):
    expected = "widened" if p == 0.05 else "within chance"
    assert judge(decision_change(*WIDENED, p=p), NAMES).verdict == expected
    assert judge(decision_change(*WIDENED, p=0.9), NAMES, p_adjusted=p).verdict == expected


def test_within_chance_tells_the_limit_only_where_there_is_one():
    actual = decision_change(*WIDENED, p=0.31)
    assert judge(actual, NAMES).reason == "p = 0.31"
    assert (
        judge(actual, NAMES, detectable=0.1234).reason
        == "p = 0.31; a change of 0.123 would be found 4 times in 5"
    )
    for nothing in (float("inf"), float("nan")):
        assert judge(actual, NAMES, detectable=nothing).reason == "p = 0.31"


@pytest.mark.parametrize(
    ("interval", "chance"),
    [((0.5, 0.7), True), ((0.3, 0.5), True), ((0.501, 0.7), False), ((0.2, 0.4), False)],
)
def test_a_diagnosis_at_chance_comes_before_everything_else(interval, chance):
    for result in (decision_change(*WIDENED), decision_change(*WIDENED, estimable=False)):
        actual = judge(result, NAMES, auroc_interval=interval)
        assert (actual.verdict == "at chance") is chance
        assert (f"[{interval[0]:.3f}, {interval[1]:.3f}] holds 0.5" in actual.reason) is chance


def test_sides_swap_clearly_or_not_at_all():
    before, after = [FPR[:2], (0.9, 0.7)], [FPR[:2], (0.6, 0.85)]
    clear = judge(decision_change(before, after), NAMES[:2])
    assert (clear.verdict, clear.group, clear.direction) == ("reversed", "a", "down")
    assert "its sides swapped (-0.250)" in clear.reason
    few = judge(
        decision_change(before, after, variance=1e-3, patients=12.0), NAMES[:2]
    )  # the gap before could be a gap of sampling
    assert few.verdict == "shifted"
    assert "not a clear change of the largest gap" in few.reason
    dice = judge(
        decision_change(before[1], after[1]), NAMES[:2], **DICE
    )  # no binomial error outside rates
    assert dice.verdict != "reversed"
    assert "probit" not in dice.reason


def test_of_several_labels_the_stronger_evidence_is_named():
    actual = judge(
        decision_change([(0.1, 0.1, 0.1), (0.8, 0.8, 0.8)], [(0.1, 0.4, 0.1), (0.8, 0.8, 0.7)]),
        NAMES,
    )
    assert (actual.group, actual.label, actual.direction) == ("b", "false-positive rate", "up")
    noisy = decision_change(
        [(0.1, 0.1, 0.1), (0.8, 0.8, 0.8)],
        [(0.1, 0.4, 0.1), (0.8, 0.8, 0.7)],
        variance=[[0.04] * 3, [1e-4] * 3],
    )
    assert (judge(noisy, NAMES).group, judge(noisy, NAMES).label) == ("c", "sensitivity")


def test_every_reason_is_told_in_words():
    result = decision_change(
        *WIDENED,
        estimable=[[False, False, False], [True, True, False]],
        patients=[[0, 3, 40], [400, 400, 7]],
    )
    result = result._replace(reason=np.array([[1, 2, 3], [0, 0, 2]]))
    assert judge(result, NAMES).unjudged == (
        f"a: false-positive rate: {REASONS[1]} (0 patients)",
        f"b: false-positive rate: {REASONS[2]} (3 patients)",
        f"c: false-positive rate: {REASONS[3]} (40 patients)",
        f"c: sensitivity: {REASONS[2]} (7 patients)",
    )
    nothing = judge(decision_change(*WIDENED, estimable=False), NAMES)
    assert (nothing.verdict, nothing.group, len(nothing.unjudged)) == ("not estimable", "", 6)


def test_names_in_the_wrong_number_are_refused():
    with pytest.raises(
        ValueError, match=r"result holds \(2, 3\) labels x groups, but 2 x 2 names were given"
    ):
        judge(decision_change(*WIDENED), NAMES[:2])
    with pytest.raises(ValueError, match=r"but 1 x 3 names"):
        judge(decision_change(*WIDENED), NAMES, quantities=("Dice",))


@pytest.mark.parametrize("loss", [0.3, 1.2])
def test_agreement_on_the_probit_scale_is_cochrans_q(loss):
    before = np.array([FPR, (0.95, 0.8, 0.6)])
    after = norm.cdf(norm.ppf(before) - np.array([[0, 0, 0], [0.6, 0.6, loss]]))
    result = decision_change(before, after, variance=4e-4)
    slope = norm.pdf(norm.ppf((before + after) / 2)) ** 2 / 4e-4
    centre = (slope * result.probit_change).sum(-1, keepdims=True) / slope.sum(-1, keepdims=True)
    q = (slope * (result.probit_change - centre) ** 2).sum()
    for alpha in (0.9, 0.5, 0.05, 1e-6):
        assert latent_alike(result, alpha) == (q <= chi2.ppf(1 - alpha, 4))
    assert not latent_alike(
        decision_change(before, after, estimable=[[False] * 3, [False, True, False]])
    )  # nothing left to agree


def test_selection_takes_one_problem_of_any_leading_shape():
    parts = [decision_change(*WIDENED, p=0.001 * k) for k in range(6)]
    batch = DidResult(*(np.stack(field).reshape(2, 3, *field[0].shape) for field in zip(*parts)))
    for i, j in np.ndindex(2, 3):
        for a, b in zip(select(batch, (i, j)), parts[3 * i + j]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("power", [0.6, 0.8, 0.95])
def test_detectable_changes_solve_their_equation(power):
    result = decision_change(*WIDENED, variance=[[1e-4, 2e-4, 4e-4]] * 2)
    share = 1 - result.std_error**2 / result.variance
    plain = minimum_detectable_change(result, power, is_rate=False).stratum
    np.testing.assert_allclose(
        norm.cdf(plain * (1 - share) / result.std_error - result.critical), power, rtol=1e-10
    )
    rate = minimum_detectable_change(result, power).stratum
    spread = np.sqrt((result.variance + rate * (1 - rate) / result.n_effective) * (1 - share))
    np.testing.assert_allclose(
        rate * (1 - share), (result.critical + norm.ppf(power)) * spread, rtol=1e-10
    )
    assert np.all(rate > plain)
    half = minimum_detectable_change(
        result._replace(variance=result.variance / 4, std_error=result.std_error / 2),
        power,
        is_rate=False,
    )
    np.testing.assert_allclose(half.stratum, plain / 2, rtol=1e-10)


def test_what_no_change_could_show_is_infinite_and_what_is_not_tested_unknown():
    tiny = decision_change(
        *WIDENED, variance=0.3, estimable=[[True] * 3, [True, True, False]], patients=2.0
    )
    actual = minimum_detectable_change(tiny)
    assert np.isinf(actual.stratum[0]).all()
    assert np.isnan(actual.stratum[1, 2])
    assert np.isinf(actual.largest)
    assert np.isfinite(minimum_detectable_change(tiny, is_rate=False).largest)
    for power in (0.5, 1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"power must lie in \(0.5, 1\), got {power}"):
            minimum_detectable_change(tiny, power)


def test_equivalence_grows_with_the_margin_and_skips_groups_without_images():
    result = decision_change(
        *WIDENED, estimable=[[True, True, False]] * 2, patients=[[400, 400, 0]] * 2
    )
    reach = np.nanmax(np.abs([result.ci_low, result.ci_high]))
    assert [bool(equivalent(result, reach * k)) for k in (0.5, 0.99, 1.01, 3)] == [
        False,
        False,
        True,
        True,
    ]
    assert not equivalent(
        result._replace(n_images=np.full((2, 3), 9.0)), 3 * reach
    )  # images that could not be judged
    assert not equivalent(decision_change(*WIDENED, estimable=False, patients=0.0), 1.0)
    for margin in (0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"margin must be positive, got {margin}"):
            equivalent(result, margin)


@pytest.mark.parametrize("seed", range(3))
def test_holm_is_the_closed_test_of_bonferroni(seed):
    """A hypothesis is rejected where every intersection that holds it is: max over subsets S with i
    of |S| min p_S.
    """
    p = np.random.default_rng(seed).random(6) ** 3
    p[1] = p[4]  # a tie
    subsets = [list(s) for size in range(1, 7) for s in itertools.combinations(range(6), size)]
    closed = [max(min(1, len(s) * p[s].min()) for s in subsets if i in s) for i in range(6)]
    np.testing.assert_allclose(holm(p), closed, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_benjamini_hochberg_agrees_with_scipy_on_ties_and_limits(seed):
    p = np.round(np.random.default_rng(seed).random(40) ** 2, 1)  # many ties, exact 0 and 1
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-10)
    assert {0.0, 1.0} & set(p)


@pytest.mark.parametrize("method", ["holm", "bh", "none"])
def test_adjustment_ignores_order_shape_and_untested_cells(method):
    p = np.random.default_rng(4).random(12) ** 2
    order = np.random.default_rng(5).permutation(12)
    plain = np.asarray(adjust(p, method))
    np.testing.assert_allclose(adjust(p[order], method), plain[order], rtol=1e-12)
    np.testing.assert_allclose(adjust(p.reshape(3, 4), method), plain.reshape(3, 4), rtol=1e-12)
    holes = np.insert(p, [0, 5, 12], np.nan)
    np.testing.assert_allclose(
        np.asarray(adjust(holes, method))[~np.isnan(holes)], plain, rtol=1e-12
    )
    assert np.all(plain <= np.minimum(1, 12 * p) + 1e-15)
    assert float(adjust(p[:1], method)[0]) == p[0]


@pytest.mark.parametrize("method", [holm, benjamini_hochberg])
def test_a_larger_p_lowers_no_adjusted_p(method):
    p = np.random.default_rng(6).random(8)
    for i in range(8):
        raised = p.copy()
        raised[i] = min(1, p[i] + 0.1)
        assert np.all(np.asarray(method(raised)) >= np.asarray(method(p)) - 1e-15)


def test_an_unknown_adjustment_is_named():
    with pytest.raises(
        ValueError, match=r"method must be one of \['bh', 'holm', 'none'\], got 'fdr'"
    ):
        adjust(np.array([0.1]), "fdr")
