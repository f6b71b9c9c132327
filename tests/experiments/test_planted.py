"""The experiment with a planted loss: its studies and its summary."""

import pandas as pd
import pytest

from experiments import planted
from fairrecon_jax.study.parse import parse


def test_every_seed_is_a_valid_study_of_its_own():
    config = planted.configuration(3, 60, tiny=True)
    assert set(parse(config).reconstructors) == {"identity", "unet"}
    assert config.phantom.seed == config.splits.seed == config.reconstructors.unet.train.seed == 3
    assert sorted(config.reconstructors) == ["identity", "unet"]
    assert (
        config.phantom.lesion_contrast.sex[planted.HARMED] < config.phantom.lesion_contrast.sex.Male
    )


def test_only_the_judged_change_of_the_reconstruction_counts():
    rows = [
        (metric, version, convention, reconstructor)
        for metric in ("eodd", "eop")
        for version in ("original", "change")
        for convention in ("worst_case", "worst_case_estimable", "mean")
        for reconstructor in ("identity", "unet")
    ]
    table = pd.DataFrame(rows, columns=["metric", "version", "convention", "reconstructor"])
    assert planted.judged(table).to_numpy().tolist() == [
        ["eodd", "change", "worst_case", "unet"],
        ["eop", "change", "worst_case", "unet"],
    ]


def test_the_summary_says_who_was_named_and_counts_false_claims():
    common = {"reconstructed": 0.3, "n_patients": 1000.0, "shuffles": 20}
    rows = [
        {
            **common,
            "shuffles_with_a_claim": int(metric == "eop"),
            "metric": metric,
            "seed": seed,
            "task": task,
            "original": gap,
            "verdict": verdict,
            "gap": "widened" if verdict == "harmed" else "same",
            "group": group,
            "p_adjusted": p,
        }
        for metric, seed, task, gap, verdict, group, p in (
            ("eop", 0, "a", 0.03, "harmed", "female", 0.001),
            ("eop", 0, "b", 0.02, "no difference shown", "", 0.3),
            ("eop", 0, "c", 0.02, "favoured", "male", 0.01),
            ("eodd", 0, "a", 0.04, "harmed", "male", 0.01),
            ("eop", 1, "a", 0.01, "no difference shown", "", 0.8),
            ("eodd", 1, "a", 0.02, "no difference shown", "", 0.9),
        )
    ]
    first, second = planted.summary(pd.DataFrame(rows)).to_dict("records")
    assert (first["named"], first["claims"], first["tasks"]) == ("female", 2, 3)
    assert (first["favoured"], first["widened"]) == (1, 1)
    assert (first["largest_eodd_on_originals"], first["smallest_adjusted_p"]) == (
        pytest.approx(0.04),
        pytest.approx(0.001),
    )
    assert (second["named"], second["claims"]) == ("nobody", 0)
    assert (second["of_them_with_a_claim_eodd"], second["of_them_with_a_claim_eop"]) == (0, 1)
