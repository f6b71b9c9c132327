"""A foreign table from file to results: outside oracles, disguises of one table, options."""

import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import AssessOptions, assess
from fairrecon_jax.study.table import assess_table, read_table
from tests.support.foreign_tables import PLAIN_MAPPING, plain_frame, read_plain

QUICK = AssessOptions(
    replicates=20,
    permutations=19,
    null_draws=10,
    threshold_rule="fixed",
    threshold_value=0.5,
    auroc_gaps=False,
)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    table, spec = read_plain(tmp_path_factory.mktemp("plain"), plain_frame())
    return assess(table, spec, QUICK)


def test_the_assessment_is_that_of_fairlearn_and_scikit_learn_on_the_file(judged):
    part = plain_frame().query("part == 'test'")
    for version, column in (("original", "a"), ("reconstructed", "b")):
        rows = judged[1][
            (judged[1]["metric"] == "eodd")
            & (judged[1]["convention"] == "worst_case")
            & (judged[1]["version"] == version)
        ]
        wanted = equalized_odds_difference(
            part["y"], part[column] >= 0.5, sensitive_features=part["sex"]
        )
        assert rows["value"].tolist() == pytest.approx([wanted], abs=1e-9)
        rows = judged[0][
            (judged[0]["metric"] == "auroc")
            & (judged[0]["attribute"] == "")
            & (judged[0]["version"] == version)
        ]
        assert rows["value"].tolist() == pytest.approx(
            [roc_auc_score(part["y"], part[column])], abs=1e-12
        )


DISGUISES = {
    "parquet": ("mine.parquet", lambda t: t),
    "pq": ("mine.pq", lambda t: t),
    "other order": ("mine.csv", lambda t: t.sample(frac=1, random_state=1)),
    "printed tensors": (
        "mine.csv",
        lambda t: t.assign(
            b=t["b"].map("tensor([{}], device='cpu')".format), y=t["y"].map("[{}]".format)
        ),
    ),
    "further columns": ("mine.csv", lambda t: t.assign(note="n")),
    "repeated rows": ("mine.csv", lambda t: pd.concat([t, t.iloc[:7]])),
    "a train split": (
        "mine.csv",
        lambda t: pd.concat([t, t.iloc[:9].assign(part="train", image="x", who="x")]),
    ),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_one_table_in_several_disguises(tmp_path, judged, disguise):
    name, change = DISGUISES[disguise]
    table, spec = read_plain(tmp_path, change(plain_frame()), name)
    for rows, wanted in zip(assess(table, spec, QUICK), judged):
        pd.testing.assert_frame_equal(rows, wanted)


def test_given_options_are_used_instead_of_the_mappings(tmp_path):
    plain_frame().to_csv(tmp_path / "mine.csv", index=False)
    mapping = {**PLAIN_MAPPING, "options": {"replicates": 0}}
    assert assess_table(tmp_path / "mine.csv", mapping, tmp_path / "out", QUICK).is_file()
    assert (tmp_path / "out" / "results" / "performance.csv").is_file()
    with pytest.raises(ValueError, match="replicates must be at least 1"):
        assess_table(tmp_path / "mine.csv", mapping, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_level_that_nobody_named_is_not_a_photon_count(tmp_path):
    plain_frame().to_csv(tmp_path / "mine.csv", index=False)
    options = {
        "threshold_rule": "fixed",
        "threshold_value": 0.5,
        "replicates": 20,
        "permutations": 19,
        "null_draws": 10,
        "auroc_gaps": False,
    }
    page = assess_table(
        tmp_path / "mine.csv", {**PLAIN_MAPPING, "options": options}, tmp_path / "out"
    ).read_text()
    assert "The AUROC went from" in page
    assert "hoton count 1" not in page
    _, spec = read_table(tmp_path / "out" / "predictions.parquet")
    assert spec.degradation.kind == "unnamed"
