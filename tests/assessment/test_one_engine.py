"""One engine: every number of an assessment is, to the last bit, what the public functions of
`metrics` and `inference` return on the same arrays and seed.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, assess
from tests.support.one_engine import Direct
from tests.support.one_engine_images import CONVENTIONS, DRAWS, LEVEL, SEED, SPEC, TAU, Options

NUMBERS = (
    "value", "original", "reconstructed", "change", "std_error", "ci_low", "ci_high",
    "p_value", "p_two_sided", "p_adjusted", "permutation_null", "mde", "n", "n_patients", "n_pos",
    "n_neg", "n_changed",
)  # fmt: skip
PLACE = ["reconstructor", "task", "attribute", "metric", "convention", "group", "label_stratum",
         "version"]  # fmt: skip


def made(seed: int, patients: int = 80) -> pd.DataFrame:
    """Two reconstructors; patients of one to three images, whose ages may differ; some labels,
    groups, scores and Dice unknown.
    """
    r = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), r.integers(1, 4, patients))
    size = len(who)
    base = pd.DataFrame({"example_id": [f"i{i:04d}" for i in range(size)]})
    base["patient_id"] = [f"p{p:03d}" for p in who]
    base = base.assign(split="test", level=LEVEL, mitigation="none", seed=0, cohort="made")
    base["sex"] = r.choice(np.array(["Female", "Male", None]), patients, p=[0.45, 0.45, 0.1])[who]
    base["age"] = r.choice(
        np.array(["young", "middle", "old", None]), size, p=[0.4, 0.35, 0.2, 0.05]
    )
    age = r.choice(np.array(["young", "middle", "old"]), patients)[who]
    base["age"] = np.where(r.random(size) < 0.8, age, base["age"])
    parts = []
    skill = r.normal(0, 0.5, (2, patients))[:, who] + r.normal(0, 0.8, (2, size))
    label = r.choice([0, 1, np.nan], (2, size), p=[0.5, 0.42, 0.08])
    dice, empty = np.clip(0.8 + r.normal(0, 0.1, size), 0, 1), r.random(size) < 0.2
    for reconstructor in ("a", "b"):
        frame = base.assign(reconstructor=reconstructor)
        for t, name in enumerate(("edema", "nodule")):
            score = np.nan_to_num(label[t], nan=0.5) * 1.6 - 0.8 + skill[t]
            moved = score + r.normal(0, 0.5, size) - 0.9 * (label[t] == 1) * (base["sex"] == "Male")
            frame[f"{name}__label"] = label[t]
            frame[f"{name}__original"] = 1 / (1 + np.exp(-score))
            moved = 1 / (1 + np.exp(-moved))
            frame[f"{name}__reconstructed"] = np.where(r.random(size) < 0.04, np.nan, moved)
        frame["region__label"] = np.where(empty, 0, 50.0)
        lost = np.clip(dice - r.uniform(0, 0.2, size), 0, 1)
        frame["region__original"] = np.where(empty, np.nan, dice)
        frame["region__reconstructed"] = np.where(empty, np.nan, lost)
        frame["psnr"] = np.where(r.random(size) < 0.03, np.inf, r.normal(30, 2, size))
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def _same_label(table: pd.DataFrame) -> pd.DataFrame:
    """One label in a group: women without the first finding."""
    women = table["sex"] == "Female"
    label = table["edema__label"].where(~women | (table["edema__label"] == 0))
    return table.assign(edema__label=label)


def _perfect(table: pd.DataFrame) -> pd.DataFrame:
    """Everything about women is right, before and after."""
    women = table["sex"] == "Female"
    for name in ("edema", "nodule"):
        right = np.where(table[f"{name}__label"] == 1, 0.9, 0.1)
        for version in ("original", "reconstructed"):
            known = table[f"{name}__{version}"].notna()
            table[f"{name}__{version}"] = np.where(
                women & known, right, table[f"{name}__{version}"]
            )
    for version in ("original", "reconstructed"):
        known = table[f"region__{version}"].notna()
        table[f"region__{version}"] = np.where(women & known, 1.0, table[f"region__{version}"])
    return table


def _ties(table: pd.DataFrame) -> pd.DataFrame:
    """Scores in steps of a fifth, Dice in steps of a tenth."""
    for column in table:
        if column.startswith(("edema__", "nodule__")) and "label" not in column:
            table[column] = np.round(table[column] * 5) / 5
        if column.startswith("region__") and "label" not in column:
            table[column] = np.round(table[column], 1)
    return table


def _unchanged(table: pd.DataFrame) -> pd.DataFrame:
    """Reconstructions are the originals."""
    for name in ("edema", "nodule", "region"):
        table[f"{name}__reconstructed"] = table[f"{name}__original"]
    return table


def _at_chance(table: pd.DataFrame) -> pd.DataFrame:
    """The first task's originals are noise, the same for both reconstructors."""
    names = sorted(set(table["example_id"]))
    noise = dict(zip(names, np.random.default_rng(9).random(len(names)), strict=True))
    return table.assign(edema__original=table["example_id"].map(noise))


def _inverted(table: pd.DataFrame) -> pd.DataFrame:
    """The first task's scores are one minus what they should be."""
    for version in ("original", "reconstructed"):
        table[f"edema__{version}"] = 1 - table[f"edema__{version}"]
    return table


EDGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "plain": lambda t: t,
    "one label in a group": _same_label,
    "perfect group": _perfect,
    "empty group": lambda t: t.assign(age=t["age"].replace("old", None)),
    "ties": _ties,
    "unchanged": _unchanged,
    "at chance": _at_chance,
    "inverted scores": _inverted,
    "nobody's sex is known": lambda t: t.assign(sex=None),
    "one sex": lambda t: t.assign(sex=t["sex"].replace("Male", None)),
    "one image a patient": lambda t: t.drop_duplicates(["reconstructor", "patient_id"]),
    "a label that nobody has": lambda t: t.assign(nodule__label=t["nodule__label"].replace(1, 0)),
    "a task without labels": lambda t: t.assign(nodule__label=np.nan),
    "few patients": lambda t: t[t["patient_id"] < "p024"],
    "a reconstructor that lacks a task": lambda t: t.assign(
        edema__reconstructed=t["edema__reconstructed"].where(t["reconstructor"] == "a")
    ),
}
CHOICES = {
    "strict": Options(permutations=59, alpha=0.1, min_patients=12, adjustment="holm"),
    "weighed": Options(label_weights=(1.0, 0.25), min_patients=2),
}


def assessed(table: pd.DataFrame, options: Options) -> dict[tuple, pd.Series]:
    """Rows of an assessment by key."""
    chosen = AssessOptions(
        **options._asdict(),
        seed=SEED,
        conventions=CONVENTIONS,
        threshold_rule="fixed",
        threshold_value=TAU,
        null_draws=DRAWS,
        replicates=20,
    )
    long = pd.concat(assess(table, SPEC, chosen), ignore_index=True)
    long = long[~long["metric"].isin(["threshold", "lpips"])]
    # a claim names its group on the row of the gap, which is of no group
    gap = (long["version"] == "change") & (long["reference_group"] != "the other groups")
    gap &= (long["convention"] != "") & (long["p_value"].notna() | (long["verdict"] != ""))
    long.loc[gap, ["group", "label_stratum"]] = ""
    keys = [tuple(row) for row in long[PLACE].to_numpy()]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, (row for _, row in long.iterrows()), strict=True))


def check(table: pd.DataFrame, options: Options) -> None:
    """Both calculations have the same rows with the same numbers."""
    compare(assessed(table, options), Direct(table, options).rows)


def compare(found: dict[tuple, pd.Series], wanted: dict) -> None:
    """The same keys, and the same numbers."""
    assert set(found) == set(wanted)
    blank = dict.fromkeys(NUMBERS, np.nan)
    for key, row in found.items():
        np.testing.assert_allclose(
            row[list(NUMBERS)].to_numpy(float),
            np.array([{**blank, **wanted[key]}[name] for name in NUMBERS]),
            rtol=1e-11,
            atol=1e-15,
            err_msg=str(key),
        )


@pytest.mark.parametrize("edge", EDGES)
def test_an_assessment_computes_nothing_of_its_own(edge):
    check(EDGES[edge](made(1)), Options())


@pytest.mark.parametrize(("choice", "seed"), [("strict", 2), ("weighed", 3)])
def test_whatever_the_options(choice, seed):
    check(made(seed), CHOICES[choice])


def test_a_mistake_would_be_seen():
    """Another seed, or another choice, gives other p-values, limits and detectable changes."""
    plain = assessed(made(1), Options())
    for other in (Options(permutations=98), Options(label_weights=(1.0, 1.0)), Options(alpha=0.06)):
        direct = Direct(made(1), other).rows
        with pytest.raises(AssertionError):
            compare(plain, direct)
