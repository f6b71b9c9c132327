"""Tables of results: which are written, which go, and which are read back."""

from __future__ import annotations

import pandas as pd
import pytest

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study import assess as room
from fairrecon_jax.study.assess import read_comparisons, read_tables, write_tables
from fairrecon_jax.study.context import Context
from tests.support import tiny_study


def context(workdir, mitigated: bool) -> Context:
    config = tiny_study.get_config()
    if mitigated:
        config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3)
    return Context(config, workdir)


def test_comparisons_are_read_only_where_the_study_mitigates(tmp_path):
    assert read_comparisons(context(tmp_path, True)) == (None, None)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mitigation.csv").write_text("a,group\n1,NA\n")
    comparison, sweep = read_comparisons(context(tmp_path, True))
    assert comparison is not None
    assert (comparison.to_dict("list"), sweep) == ({"a": [1], "group": ["NA"]}, None)
    assert read_comparisons(context(tmp_path, False)) == (None, None), "of an earlier study"


def test_results_that_are_missing_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"performance\.csv: run `fairrecon assess` first"):
        read_tables(context(tmp_path, False))


def test_tables_that_the_study_no_longer_has_go(tmp_path, monkeypatch):
    table = pd.DataFrame({"a": [1]})
    monkeypatch.setattr(room, "merge_predictions", lambda context: table)
    monkeypatch.setattr(room, "assess", lambda *_, shown: (table, table))
    monkeypatch.setattr(room, "compare", lambda *_: table)
    monkeypatch.setattr(room, "score_curves", lambda *_: table)
    doses = [table, table, table, table.iloc[:0]]
    monkeypatch.setattr(room, "dose_responses", lambda *_: doses.pop(0))
    monkeypatch.setattr(Context, "spec", None)
    monkeypatch.setattr(room, "sweeps", lambda context: table)
    results = tmp_path / "results"

    def written(mitigated: bool) -> set[str]:
        write_tables(context(tmp_path, mitigated))
        return {path.stem for path in results.iterdir()}

    always = {"performance", "fairness", "curves"}
    assert written(True) == {*always, "doses", "mitigation", "mitigation_sweep"}
    monkeypatch.setattr(room, "sweeps", lambda context: None)
    assert written(True) == {*always, "doses", "mitigation"}
    assert written(False) == {*always, "doses"}
    assert written(False) == always, "of a single level"
