"""Labels and scores as people write them: words, percent, logits, decisions, precision, blanks."""

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from scipy.special import expit
from sklearn.metrics import recall_score

from fairrecon_jax.assessment import AssessOptions, assess
from tests.support.foreign_tables import plain_frame, read_plain, reasons

QUICK = AssessOptions(
    permutations=19, null_draws=10, threshold_rule="fixed", threshold_value=0.5, auroc_gaps=True
)


def task(**entry):
    return {"finding": {"label": "y", "original": "a", "reconstructed": "b", **entry}}


@pytest.mark.parametrize(
    "words", [("no", "YES"), ("False", "True"), ("negative", "Positive"), ("N", "y")]
)
def test_labels_in_words(tmp_path, words):
    source = plain_frame()
    table, _ = read_plain(tmp_path, source.assign(y=np.array(words)[source["y"]]))
    assert table["finding__label"].tolist() == source["y"].tolist()


def test_labels_in_words_of_the_mapping(tmp_path):
    source = plain_frame()
    table = source.assign(y=np.array(["benign", "malignant"], object)[source["y"]])
    table.loc[1:3, "y"] = ["equivocal", "", "-1"]
    mapped = task(positive="malignant", negative=["benign"], unknown=["equivocal"])
    found, _ = read_plain(tmp_path, table, tasks=mapped)
    assert found["finding__label"].isna().sum() == 3
    assert reasons(found) == {
        "uncertain labels (-1) of finding count as unknown": 1,
        "test rows without a label of finding ('equivocal' 1 times) were left out of it": 2,
    }
    with pytest.raises(ValueError, match=r"row 1: label \w+ of task 'finding' .* 'positive'"):
        read_plain(tmp_path, table)
    with pytest.raises(ValueError, match="names one word as two labels"):
        read_plain(tmp_path, table, tasks=task(positive="x", negative="X"))


def test_scores_on_other_scales(tmp_path):
    source = plain_frame()
    percent = {c: (100 * source[c]).round(1) for c in "ab"}
    found, _ = read_plain(tmp_path, source.assign(**percent), tasks=task(scale="percent"))
    np.testing.assert_array_equal(found["finding__original"], source["a"].round(3))
    signed = {c: percent[c].map("{}%".format) for c in "ab"}
    found, _ = read_plain(tmp_path, source.assign(**signed))
    np.testing.assert_array_equal(found["finding__reconstructed"], source["b"].round(3))
    logits = source.assign(a=(source["a"] - 0.5) * 1500, b=source["b"] * 8 - 4)
    found, _ = read_plain(tmp_path, logits, tasks=task(scale="logit"))
    np.testing.assert_allclose(found["finding__original"], expit(logits["a"]), rtol=1e-12)
    with pytest.raises(ValueError, match=r"outside \[0, 1\] .* 'scale: logit'"):
        read_plain(tmp_path, logits)
    with pytest.raises(ValueError, match="holds nothing above 1: are these probabilities"):
        read_plain(tmp_path, source, tasks=task(scale="percent"))
    with pytest.raises(ValueError, match=r"finding.scale must be .*; did you mean 'percent'"):
        read_plain(tmp_path, source, tasks=task(scale="percents"))


def test_decimal_commas_of_a_semicolon_table(tmp_path):
    source = plain_frame()
    source.to_csv(tmp_path / "mine.csv", index=False, sep=";", decimal=",")
    from fairrecon_jax.external import read_table
    from tests.support.foreign_tables import PLAIN_MAPPING

    found, _ = read_table(tmp_path / "mine.csv", PLAIN_MAPPING)
    np.testing.assert_array_equal(found["finding__original"], source["a"])


def test_missing_scores_are_counted(tmp_path):
    source = plain_frame()
    source["b"] = source["b"].astype(object)
    source.loc[[0, 1, 2, 3], "b"] = ["NA", "", "n/a", "-"]
    found, _ = read_plain(tmp_path, source)
    (test,) = (
        reason for reason in reasons(found) if reason.startswith("test rows without a recon")
    )
    assert "reconstructed score of finding ('NA' 1 times, 'n/a' 1 times, '-' 1 times)" in test
    assert sorted(reasons(found).values()) == [1, 3]
    performance, _ = assess(found, read_plain(tmp_path, source)[1], QUICK)
    everyone = performance.query("metric == 'auroc' and attribute == '' and version == 'change'")
    assert everyone["n"].tolist() == [90 - 3]


def test_decisions_give_no_auroc(tmp_path):
    source = plain_frame()
    decided = source.assign(a=(source["a"] > 0.5) * 1, b=np.where(source["b"] > 0.5, "yes", "no"))
    found, spec = read_plain(tmp_path, decided)
    # no validation row is needed where nothing is fitted
    options = AssessOptions(permutations=19, null_draws=10)
    performance, fairness = assess(found[found["split"] == "test"], spec, options)
    assert set(performance["threshold_rule"]) >= {"decisions as given"}
    scores = performance[performance["metric"].isin(["auroc", "brier", "calibration_error"])]
    assert scores["value"].isna().all()
    assert scores[scores["version"] == "change"]["reason"].str.contains("decisions").all()
    assert not fairness["metric"].isin(["gap_auroc", "gap_score"]).any()
    part = source[source["part"] == "test"]
    truth, decision = part["y"], part["b"] > 0.5
    everyone = performance[
        (performance["attribute"] == "") & (performance["metric"] == "sensitivity")
    ]
    value = everyone.set_index("version").loc["reconstructed", "value"]
    assert value == pytest.approx(recall_score(truth, decision), abs=1e-12)
    eodd = fairness.query("metric == 'eodd' and version == 'reconstructed'")
    eodd = eodd[eodd["convention"] == "worst_case"]["value"].tolist()
    wanted = equalized_odds_difference(truth, decision, sensitive_features=part["sex"])
    assert eodd == pytest.approx([wanted], abs=1e-12)


@pytest.mark.parametrize("name", ["mine.parquet", "mine.csv", "widened.csv"])
def test_decisions_are_made_in_the_precision_of_the_scores(tmp_path, name):
    source = plain_frame()
    scores = np.float32(np.random.default_rng(0).choice([0.3, 0.7, 0.9], 120))
    written = scores.astype(float).round(1) if name == "mine.csv" else scores
    if name == "widened.csv":
        written = [repr(float(score)) for score in scores]
    found, spec = read_plain(tmp_path, source.assign(a=written, b=written), name)
    options = AssessOptions(
        permutations=19, null_draws=5, threshold_rule="fixed", threshold_value=0.7
    )
    performance, _ = assess(found, spec, options)
    rows = performance.query(
        "metric == 'sensitivity' and attribute == '' and version == 'original'"
    )
    part = source["part"] == "test"
    # NumPy decides in float32 (NEP 50)
    wanted = recall_score(source["y"][part], (scores >= 0.7)[part])
    assert rows["value"].tolist() == [wanted]
