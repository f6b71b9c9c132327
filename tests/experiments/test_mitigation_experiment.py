"""The mitigation experiment's own pieces: its studies, the shuffled null and the summary."""

import pandas as pd
import pytest

from experiments.mitigation import configuration, shuffled, summary
from fairrecon_jax.physics import describe
from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import Attribute, CohortSpec

SPEC = CohortSpec(
    "c",
    "C",
    "xray",
    (),
    (Attribute("sex", ("F", "M")),),
    describe("xray_low_dose", (1e4,), 1e4),
)


def test_every_seed_is_a_valid_study_of_its_own():
    heavier = ["adversarial_x1000", "eodd_x1000", "group_dro_x1000"]
    for everything, names in (
        (True, ["adversarial", "eodd", "group_dro", "reweighting", *heavier]),
        (False, ["eodd"]),
    ):
        config = configuration(3, everything, 10, 50, (0.1, 1.0, 2.0), tiny=True)
        assert sorted(parse(config).mitigations) == sorted(names)
        for name in heavier if everything else ():
            assert (config.mitigations[name].weight, config.mitigations[name].reconstructors) == (
                1000.0,
                ("pix2pix",),
            )
        assert ("irsde" in config.reconstructors) == everything
        assert config.phantom.seed == config.splits.seed == config.mitigations.eodd.train.seed == 3
        assert config.mitigations.eodd.weights == (0.1, 1.0, 2.0)


def test_the_diffusion_model_can_be_left_out():
    config = configuration(1, True, 10, 50, (0.1,), tiny=True, sde=False)
    assert sorted(parse(config).reconstructors) == ["identity", "pix2pix", "unet"]


def test_shuffling_moves_whole_patients_within_their_part():
    rows = [
        (f"p{p}", split, ("F", "M")[p % 2], m)
        for m in ("none", "eodd")
        for p, split in enumerate(["val"] * 4 + ["test"] * 8)
        for _ in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["patient_id", "split", "sex", "mitigation"])
    dealt = shuffled(table, SPEC, 1)
    assert (dealt.groupby("patient_id")["sex"].nunique() == 1).all()
    before, after = (
        t.drop_duplicates("patient_id").groupby("split")["sex"].value_counts().to_dict()
        for t in (table, dealt)
    )
    assert before == after
    merged = dealt.drop_duplicates("patient_id").merge(
        table.drop_duplicates("patient_id"), on="patient_id"
    )
    assert (merged["sex_x"] != merged["sex_y"]).any()


def test_the_summary_counts_verdicts_and_false_alarms():
    common = {
        "mitigation": "eodd",
        "reconstructor": "unet",
        "psnr_change": -1.0,
        "auroc_change": 0.01,
        "dice_change": float("nan"),
    }
    rows = [
        {
            **common,
            "seed": s,
            "original": 0.2,
            "reconstructed": 0.1,
            "verdict": v,
            "verdict_null": n,
            "seconds": 10.0 * (s + 1),
        }
        for s, v, n in (
            (0, "helped", "no difference shown"),
            (0, "helped", "harmed"),
            (0, "levelled down", "levelled down"),
            (1, "harmed", "no difference shown"),
        )
    ]
    (line,) = summary(pd.DataFrame(rows)).to_dict("records")
    assert (
        line["seeds"],
        line["cells"],
        line["helped"],
        line["harmed"],
        line["shuffled_with_a_claim"],
    ) == (2, 4, 2, 1, 2)
    assert (line["levelled_down"], line["no_difference_shown"]) == (1, 0)
    assert line["seconds"] == 15.0
    assert (line["widest_gap_before"], line["seeds_with_widest_gap_helped"]) == (
        pytest.approx(0.2),
        1,
    )
    assert "dice_change" not in line
    unknown = {**rows[3], "original": float("nan"), "verdict": "not estimable"}
    (line,) = summary(pd.DataFrame([*rows[:2], unknown])).to_dict("records")
    assert (line["seeds"], line["not_estimable"], line["widest_gap_before"]) == (
        2,
        1,
        pytest.approx(0.2),
    )
    (line,) = summary(pd.DataFrame([unknown])).to_dict("records")
    assert (line["not_estimable"], line["seeds_with_widest_gap_helped"]) == (1, 0)
