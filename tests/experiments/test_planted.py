"""The experiment with a planted loss: its studies and its summary."""

import pandas as pd
import pytest

from experiments import planted
from fairrecon_jax import study
from fairrecon_jax.workspace import Workspace


def test_every_seed_is_a_valid_study_of_its_own(tmp_path):
    config = planted.configuration(3, 60, tiny=True)
    study.check(Workspace(config, tmp_path))
    assert config.phantom.seed == config.splits.seed == config.reconstructors.unet.train.seed == 3
    assert sorted(config.reconstructors) == ["identity", "unet"]
    assert config.phantom.lesion_contrast.sex[planted.HARMED] < config.phantom.lesion_contrast.sex.Male


def test_only_the_judged_change_of_the_reconstruction_counts():
    rows = [
        (metric, version, convention, reconstructor)
        for metric in ("eodd", "eop")
        for version in ("original", "change")
        for convention in ("paper", "estimable", "published")
        for reconstructor in ("identity", "unet")
    ]
    table = pd.DataFrame(rows, columns=["metric", "version", "convention", "reconstructor"])
    assert planted.claims(table).to_numpy().tolist() == [["eodd", "change", "paper", "unet"]]


def test_the_summary_says_who_was_named_and_counts_false_claims():
    common = {"reconstructed": 0.3, "n_patients": 1000.0, "shuffles": 20, "shuffles_with_a_claim": 1}
    rows = [
        {**common, "seed": 0, "task": "a", "original": 0.04, "verdict": "widened", "group": "Female", "p_adjusted": 0.001},
        {**common, "seed": 0, "task": "b", "original": 0.02, "verdict": "within chance", "group": "", "p_adjusted": 0.3},
        {**common, "seed": 1, "task": "a", "original": 0.01, "verdict": "within chance", "group": "", "p_adjusted": 0.8},
    ]
    first, second = planted.summary(pd.DataFrame(rows)).to_dict("records")
    assert (first["named"], first["claims"], first["tasks"], first["largest_gap_on_originals"]) == ("Female", 1, 2, pytest.approx(0.04))
    assert (second["named"], second["claims"], second["shuffles_with_a_claim"]) == ("nobody", 0, 1)
