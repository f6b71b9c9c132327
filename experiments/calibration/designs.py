"""Laws beside the table of cells: rare changes, small groups, unequal noise and clusters,
values.
"""

from __future__ import annotations

from experiments.calibration.cells import CELLS, DESIGNS, Cell, Truth
from experiments.calibration.laws import Law, clusters, flips, values
from experiments.calibration.scores import Model, decisions, law_of

RARE = ((1000, 20), (1000, 40), (1000, 100), (5000, 200), (200, 20))
RATES = (0.01, 0.02, 0.05, 0.10)
SIX = (1000, 300, 200, 100, 40, 20)
TEN = (0.3, 3.0, 0.5, 2.0, 1.0, 0.4, 2.5, 0.7, 1.5, 1.0)
TEN_SIZES = (200, 20, 150, 25, 100, 30, 40, 60, 22, 300)
CLOSE = Truth("close, common loss", "unchanged", common=0.3, shared=0.97, shared_harmed=0.97)


def _cell_laws() -> list[Law]:
    """The cells; harm is to be told from the nulls of its design with the same gap before."""
    laws = []
    for cell in CELLS:
        nulls = tuple(
            other.name
            for other in CELLS
            if other.design == cell.design
            and other.truth.family == "unchanged"
            and other.truth.gap == cell.truth.gap
        )
        laws.append(law_of(cell, nulls if cell.truth.family == "planted" else ()))
    laws += [law_of(Cell(DESIGNS[number], CLOSE)) for number in (3, 4)]
    return laws


def loss(sizes: tuple[int, ...], rate: float) -> str:
    """Name of the null in which all groups lose alike."""
    who = " / ".join(map(str, sizes)) if len(sizes) < 4 else f"{len(sizes)} groups"
    return f"common loss {rate:.0%}, {who}"


def both_ways(first: tuple[float, float], second: tuple[float, float], sizes: object) -> str:
    """Name of a null with a loss and an equal net gain in two groups."""
    a, b = (f"{100 * lost:g}+{100 * gained:g}%" for lost, gained in (first, second))
    return f"{a} / {b}, {' / '.join(map(str, sizes))}"  # type: ignore[call-overload]


TWO_SIDED = (
    ((0.04, 0.01), (0.04, 0.01), (1000, 20)),
    ((0.04, 0.01), (0.04, 0.01), (200, 40)),
    ((0.04, 0.01), (0.04, 0.01), (1000, 60)),
    ((0.04, 0.01), (0.1, 0.07), (1000, 20)),
    ((0.04, 0.01), (0.1, 0.07), (1000, 60)),
    ((0.02, 0.02), (0.02, 0.02), (1000, 40)),
    ((0.02, 0.02), (0.1, 0.1), (1000, 60)),
    ((0.02, 0.02), (0.1, 0.1), (1000, 40)),
    ((0.02, 0.02), (0.1, 0.1), (1000, 20)),
    ((0.1, 0.1), (0.01, 0.01), (1000, 20)),
    ((0.08, 0.08), (0.08, 0.08), (150, 60)),
    ((0.01, 0.0), (0.06, 0.05), (1000, 40)),
    ((0.01, 0.0), (0.1, 0.09), (1000, 20)),
    ((0.01, 0.0), (0.1, 0.09), (1000, 60)),
)
ONE_WAY_TWO_WAY = tuple(both_ways(*case) for case in TWO_SIDED[-3:])
"""Nulls in which the large group changes one way only and the small one both ways."""


def _rare_nulls() -> list[Law]:
    laws = [Law(loss(s, q), s, flips((q, q), (0, 0))) for s in RARE for q in RATES]
    laws += [
        Law("common loss 1%, both labels, 1000 / 20", (1000, 20), flips((0.01, 0.01), (0, 0), 2)),
        Law(loss(SIX, 0.05), SIX, flips((0.05,) * 6, (0,) * 6)),
        *(Law(loss(SIX, q), SIX, flips((q,) * 6, (0,) * 6)) for q in (0.01, 0.02, 0.15)),
        Law(loss((200, 60), 0.05), (200, 60), flips((0.05, 0.05), (0, 0))),
        Law(loss((200, 15), 0.03), (200, 15), flips((0.03, 0.03), (0, 0))),
        Law(loss((1000, 1000), 0.01), (1000, 1000), flips((0.01, 0.01), (0, 0))),
    ]
    for first, second, sizes in TWO_SIDED:
        draw = flips((first[0], second[0]), (first[1], second[1]))
        laws.append(Law(both_ways(first, second, sizes), sizes, draw))
    return laws


def _value_nulls() -> list[Law]:
    return [
        *(Law(f"{k} change, 150 / 150", (150, 150), values(k)) for k in ("normal", "t3", "Cauchy")),
        *(
            Law(f"{k} change, 500 / 20", (500, 20), values(k))
            for k in ("exponential", "lognormal", "5% drop", "1% drop", "Dice with zeros")
        ),
        Law("lognormal change, 500 / 40", (500, 40), values("lognormal")),
        Law("normal change, 500 / 30", (500, 30), values("normal")),
        Law("Dice with zeros change, 150 / 60", (150, 60), values("Dice with zeros")),
        Law("changes with ties, 150 / 30", (150, 30), values("ties")),
        Law("normal change, 12 x 300", (300,) * 12, values("normal")),
        Law("normal change, 12 x 100", (100,) * 12, values("normal")),
        Law("spread 1 / 4, 500 / 15", (500, 15), values("normal", spread=(1, 4))),
        Law("spread 4 / 1, 500 / 15", (500, 15), values("normal", spread=(4, 1))),
        Law("ten intersections, spread .3 to 3", TEN_SIZES, values("normal", spread=TEN)),
        Law("one patient of 50-200 images among 26", (300, 26), clusters(3, (50, 200))),
        Law("one patient of 10-20 images among 26", (300, 26), clusters(3, (10, 20))),
        Law("1 to 12 images, 300 / 26", (300, 26), clusters(12, (1, 12))),
    ]


def _prevalences() -> list[Law]:
    """Both labels with prevalence .30 and .05."""
    zero, alike = (0.0, 0.0), (0.8, 0.8)
    base = {"prevalence": (0.3, 0.05), "images": 2, "false_alarms": 0.5, "shared": alike}
    null = "prevalence .30 / .05, common loss, 600 / 400"
    models = {
        null: Model(gap=zero, loss=(0.3, 0.3), **base),  # type: ignore[arg-type]
        "prevalence .30 / .05, harm, 600 / 400": Model(
            gap=zero,
            loss=(0.0, 0.5),
            **base,  # type: ignore[arg-type]
        ),
    }
    names = list(models)
    return [
        Law(names[0], (600, 400), decisions(models[names[0]])),
        Law(names[1], (600, 400), decisions(models[names[1]]), 1, (names[0],)),
    ]


def _two_group_harms() -> list[Law]:
    noisy_20, noisy_40, noisy_60 = (
        both_ways((0.02, 0.02), (0.1, 0.1), (1000, n)) for n in (20, 40, 60)
    )
    two = {n: both_ways((0.04, 0.01), (0.04, 0.01), (1000, n)) for n in (20, 60)}
    skew = {n: both_ways((0.04, 0.01), (0.1, 0.07), (1000, n)) for n in (20, 60)}
    cases = [
        ("1% -> 15%", (1000, 20), (0.01, 0.15), (0, 0), (loss((1000, 20), 0.01),)),
        ("1% -> 10%", (1000, 40), (0.01, 0.10), (0, 0), (loss((1000, 40), 0.01),)),
        ("1% -> 5%", (1000, 100), (0.01, 0.05), (0, 0), (loss((1000, 100), 0.01),)),
        ("1% -> 3%", (1000, 1000), (0.01, 0.03), (0, 0), (loss((1000, 1000), 0.01),)),
        ("1% -> 4%", (5000, 200), (0.01, 0.04), (0, 0), (loss((5000, 200), 0.01),)),
        ("5% -> 15%", (200, 60), (0.05, 0.15), (0, 0), (loss((200, 60), 0.05),)),
        ("3% -> 25%", (200, 15), (0.03, 0.25), (0, 0), (loss((200, 15), 0.03),)),
        (
            "8+8% -> 25+8%",
            (150, 60),
            (0.08, 0.25),
            (0.08, 0.08),
            (both_ways((0.08, 0.08), (0.08, 0.08), (150, 60)),),
        ),
        ("4+1% -> 20+1%", (1000, 20), (0.04, 0.2), (0.01, 0.01), (two[20], skew[20], noisy_20)),
        ("4+1% -> 15+1%", (1000, 60), (0.04, 0.15), (0.01, 0.01), (two[60], skew[60], noisy_60)),
        (
            "2+2% -> 15+2%",
            (1000, 40),
            (0.02, 0.15),
            (0.02, 0.02),
            (both_ways((0.02, 0.02), (0.02, 0.02), (1000, 40)), noisy_40),
        ),
    ]
    return [
        Law(f"harm {name}, {a} / {b}", (a, b), flips(lost, gained), 1, nulls)
        for name, (a, b), lost, gained, nulls in cases
    ]


def _harms() -> list[Law]:
    return [
        *_two_group_harms(),
        Law(
            "harm 5% -> 20%, third of 6 groups",
            SIX,
            flips((0.05, 0.05, 0.2, 0.05, 0.05, 0.05), (0,) * 6),
            2,
            (loss(SIX, 0.05),),
        ),
        Law(
            "harm 2% -> 15%, fifth of 6 groups",
            SIX,
            flips((0.02, 0.02, 0.02, 0.02, 0.15, 0.02), (0,) * 6),
            4,
            (loss(SIX, 0.02),),
        ),
        Law(
            "all lose 15% but 2%, third of 6 groups",
            SIX,
            flips((0.15, 0.15, 0.02, 0.15, 0.15, 0.15), (0,) * 6),
            2,
            (loss(SIX, 0.15),),
            better=True,
        ),
        *(
            Law(name, sizes, values(kind, harm, harmed), harmed % len(sizes), (null,))
            for name, sizes, kind, harm, harmed, null in VALUE_HARMS
        ),
        Law(
            "rare drop in 15% of 20, 500 / 20",
            (500, 20),
            values("1% drop", 0.5, share=0.15),
            1,
            ("1% drop change, 500 / 20",),
        ),
    ]


VALUE_HARMS = (
    ("drop .5 sd, normal, 500 / 30", (500, 30), "normal", 0.5, 1, "normal change, 500 / 30"),
    ("drop .6, lognormal, 500 / 40", (500, 40), "lognormal", 0.6, 1, "lognormal change, 500 / 40"),
    (
        "drop .03 of Dice with zeros, 150 / 60",
        (150, 60),
        "Dice with zeros",
        0.03,
        1,
        "Dice with zeros change, 150 / 60",
    ),
    ("12 x 300, one harmed .22 sd", (300,) * 12, "normal", 0.22, 3, "normal change, 12 x 300"),
    ("12 x 100, one harmed .4 sd", (100,) * 12, "normal", 0.4, 3, "normal change, 12 x 100"),
)


def laws() -> list[Law]:
    """All laws of the section, nulls before what is to be told from them."""
    return [*_cell_laws(), *_rare_nulls(), *_value_nulls(), *_prevalences(), *_harms()]
