"""The numbers of the interactive part, counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr
from fairrecon_jax.assessment import score_curves
from fairrecon_jax.report import explorer
from fairrecon_jax.report.select import Findings


@pytest.fixture(scope="module")
def audit():
    rng = np.random.default_rng(2)
    y, sex = (rng.random(500) < 0.4).astype(float), rng.choice(["f", "m"], 500)
    before = np.clip(0.3 + 0.4 * y + rng.normal(0, 0.15, 500), 0, 1)
    after = np.clip(before - 0.3 * (y == 1) * (sex == "f") * (rng.random(500) < 0.6), 0, 1)
    return fr.assess(label=y, original=before, reconstructed=after, groups={"sex": sex})


def unpacked(table: dict) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: [c["words"][i] for i in c["codes"]] if isinstance(c, dict) else c
            for name, c in table.items()
        }
    )


def test_flips_are_those_counted_in_the_predictions(audit):
    findings = Findings.of(audit.spec, audit.performance, audit.fairness)
    found = explorer.flips(findings, 0)
    table = audit.table
    for row in found.itertuples():
        truth = 1.0 if row.label == "positive" else 0.0
        own = table[(table["sex"] == row.group) & (table["finding__label"] == truth)]
        right = [(own[f"finding__{v}"] >= 0.5) == truth for v in ("original", "reconstructed")]
        assert row.right == (right[0] & right[1]).sum()
        assert row.lost == (right[0] & ~right[1]).sum()
        assert row.gained == (~right[0] & right[1]).sum()
        assert row.wrong == (~right[0] & ~right[1]).sum()
    assert len(found) == 4
    assert found["lost"].max() > 20


def test_few_flips_are_withheld_with_all_that_they_would_follow_from(audit):
    findings = Findings.of(audit.spec, audit.performance, audit.fairness, min_cell=10)
    hidden = explorer.flips(findings, 10).set_index(["group", "label"])
    assert (hidden.loc[("m", "positive"), ["right", "lost", "gained", "wrong"]] == -1).all()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((60, 44 / 60, 22 / 60, 22), (22, 22, 0, 16)),
        ((10, 0.5, 0.5, 4), (3, 2, 2, 3)),
        # weighted images: no whole numbers
        ((10, 0.55, 0.5, 4), None),
        ((10, float("nan"), 0.5, 4), None),
        # more changed than can have
        ((10, 0.0, 0.1, 30), None),
    ],
)
def test_two_by_two(given, expected):
    assert explorer.two_by_two(*given) == expected


def test_a_name_cannot_end_the_script_it_stands_in():
    text = explorer.json_of({"</script><b>&": "<!-- \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script><b>&": "<!-- \u2028"}


def test_the_library_cannot_end_its_script_either():
    script = explorer.library()
    assert "window.vegaEmbed" in script
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_packing_keeps_words_and_four_digits():
    table = pd.DataFrame({"a": ["x", "y", "x"], "b": [0.123456, np.nan, 3.0]})
    packed = explorer.packed(table)
    assert packed == {"a": {"words": ["x", "y"], "codes": [0, 1, 0]}, "b": [0.1235, None, 3]}


def test_rates_and_verdicts_are_those_of_the_tables(audit):
    findings = Findings.of(audit.spec, audit.performance, audit.fairness)
    made = explorer.explorer(findings, None, 0)
    numbers = json.loads(made.data)
    rates = unpacked(numbers["rates"])
    groups = audit.groups.set_index(["group", "metric"])
    sensitivity = rates[rates["metric"] == "sensitivity"]
    assert len(sensitivity) == 2
    for row in sensitivity.itertuples():
        expected = groups.loc[(row.group, "sensitivity")]
        assert row.before == pytest.approx(expected["original"], abs=1e-4)
        assert row.after == pytest.approx(expected["reconstructed"], abs=1e-4)
    assert set(unpacked(numbers["verdicts"])["verdict"]) == {"harmed"}
    assert unpacked(numbers["curves"]).empty


def test_the_strongest_claim_of_a_reconstruction_comes_first(audit):
    name = audit.fairness["reconstructor"].iloc[0]
    several = [
        audit.fairness.assign(reconstructor=other, p_adjusted=p)
        for other, p in (("identity", 0.0001), ("weak", 0.04), (name, 0.001))
    ]
    tables = [
        pd.concat([audit.performance.assign(reconstructor=o) for o in ("identity", "weak", name)]),
        pd.concat(several),
    ]
    findings = Findings.of(audit.spec, *(table.reset_index(drop=True) for table in tables))
    methods = list(dict.fromkeys(explorer.verdicts(findings)["method"]))
    assert methods == [findings.method_name(one, "none") for one in (name, "weak", "identity")]


def test_curves_of_few_are_left_out(audit):
    findings = Findings.of(audit.spec, audit.performance, audit.fairness)
    curves = score_curves(audit.table, audit.spec)
    every, enough = (explorer.curve_points(findings, curves, least) for least in (0, 10))
    assert len(enough) < len(every) == len(curves)
    assert (enough["n"] >= 10).all()
    assert explorer.curve_points(findings, curves, 400).empty
    assert set(every["group"]) == {"everyone", "f", "m"}


def test_a_page_that_would_be_too_large_gives_up_its_curves(audit, monkeypatch):
    findings = Findings.of(audit.spec, audit.performance, audit.fairness)
    curves = score_curves(audit.table, audit.spec)
    monkeypatch.setattr(explorer, "MOST_BYTES", 3000)
    numbers = json.loads(explorer.explorer(findings, curves, 0).data)
    assert numbers["curves"]["x"] == []
    assert numbers["rates"]["before"]


def test_without_groups_there_is_nothing_to_explore():
    y = np.arange(80) % 2
    audit = fr.assess(label=y, original=0.9 * y, reconstructed=0.8 * y, groups={})
    findings = Findings.of(audit.spec, audit.performance, audit.fairness)
    assert explorer.explorer(findings, None, 0) is None
