"""Joining studies of several trainings."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, read_results, write_predictions
from fairrecon_jax.study.merge import merge, stack
from fairrecon_jax.types import InputError
from tests.support import hand

QUICK = AssessOptions(
    permutations=99, null_draws=10, replicates=20, threshold_rule="fixed", threshold_value=0.5
)


def folders(tmp_path, counts=(30, 33, 27)):
    """Three work directories whose networks leave women `counts` of 60 findings."""
    made = []
    for number, kept in enumerate(counts):
        scenario = {"widened": ((6, 6), (54, kept), (6, 6), (54, 54))}
        table = hand.table(("widened",), scenario)
        path = tmp_path / f"run{number}"
        write_predictions(path / "predictions.parquet", table, hand.spec(("widened",)))
        made.append(path)
    return made


def test_seeds_are_numbered_anew_and_named(tmp_path):
    made = folders(tmp_path)
    table, spec, names = stack(made)
    assert sorted(table["seed"].unique()) == [0, 1, 2]
    assert names == [f"{path}, seed 0" for path in made]
    assert spec == hand.spec(("widened",))


def test_a_method_is_judged_beside_its_networks(tmp_path):
    made = folders(tmp_path)
    page = merge(made, tmp_path / "merged", QUICK)
    assert page.is_file()
    rows = read_results(tmp_path / "merged", "fairness")
    change = rows[(rows["metric"] == "gap_sensitivity") & (rows["group"] == "Female")]
    networks, method = change[change["seed"].notna()], change[change["seed"].isna()].iloc[0]
    np.testing.assert_allclose(sorted(networks["value"]), [-27 / 60, -24 / 60, -21 / 60])
    np.testing.assert_allclose(method["value"], -24 / 60)
    assert method["verdict"] == "harmed"
    # three networks apart by 5 points: the error of the mean holds .05 / sqrt(3)
    assert method["std_error"] > np.sqrt(0.05**2 / 3)
    judged = rows[(rows["metric"] == "eodd") & rows["seed"].isna()].iloc[0]
    assert judged["group"] == "Female"
    assert (
        "mean of 3 trainings: Female lost more than the other groups, by 40 points"
        in (judged["reason"])
    )
    assert "trainings differ by 5.0 points (sd)" in judged["reason"]
    assert judged["family"].endswith(", methods")


def test_what_cannot_be_joined(tmp_path):
    made = folders(tmp_path)
    with pytest.raises(InputError, match=r"two work directories or more"):
        stack(made[:1])
    with pytest.raises(InputError, match=r"is one of the folders"):
        merge(made, made[0], QUICK)
    with pytest.raises(InputError, match=r"nowhere holds no predictions\.parquet"):
        stack([made[0], tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"--workdirs names the folder \S+run0 twice$"):
        stack([made[0], made[0]])
    (tmp_path / "link").symlink_to(made[1])
    with pytest.raises(InputError, match=r"run1 twice, the second time as \S+link$"):
        stack([made[0], made[1], tmp_path / "link"])
    other = hand.table(("same",))
    write_predictions(tmp_path / "other" / "predictions.parquet", other, hand.spec(("same",)))
    with pytest.raises(InputError, match="other assesses another cohort than"):
        stack([made[0], tmp_path / "other"])
    few = hand.table(("widened",)).iloc[:-1]
    write_predictions(tmp_path / "few" / "predictions.parquet", few, hand.spec(("widened",)))
    with pytest.raises(InputError, match="few was evaluated on other images"):
        stack([made[0], tmp_path / "few"])


def test_one_training_does_not_count_as_two(tmp_path):
    made = folders(tmp_path)
    shutil.copytree(made[1], tmp_path / "copy")
    with pytest.raises(
        InputError, match=r"copy, seed 0 holds the same predictions as \S+run1, seed"
    ):
        stack([*made, tmp_path / "copy"])
    # rows in another order under another seed are the same predictions
    path = tmp_path / "copy" / "predictions.parquet"
    table = hand.table(("widened",), {"widened": ((6, 6), (54, 33), (6, 6), (54, 54))})
    table = pd.concat([table.iloc[100:], table.iloc[:100]]).assign(seed=7)
    write_predictions(path, table.reset_index(drop=True), hand.spec(("widened",)))
    with pytest.raises(InputError, match=r"copy, seed 7 holds the same predictions as \S+run1"):
        stack([*made, tmp_path / "copy"])


def test_the_same_weights_are_no_two_trainings(tmp_path):
    made = folders(tmp_path)
    digests = [("a", "d"), ("b", "d"), ("a", "d")]
    for folder, (weights, diagnoser) in zip(made, digests, strict=True):
        for place, digest in (
            ("reconstructors/unet/8", weights),
            ("diagnosers/findings", diagnoser),
        ):
            meta = folder / place / "final" / "meta" / "metadata"
            meta.parent.mkdir(parents=True)
            meta.write_text(json.dumps({"digest": digest}))
            (folder / place / "run.json").write_text("{}")
    assert len(stack(made[:2])[2]) == 2, "diagnosers may be shared"
    with pytest.raises(
        InputError, match=r"run2/reconstructors/unet/8 holds the same weights as \S+run0"
    ):
        stack(made)
