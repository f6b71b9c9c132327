"""One study per seed and the tables over them."""

import pandas as pd
from ml_collections import ConfigDict

from experiments import seeds
from experiments.tables import markdown


def test_tables_are_written_after_every_seed_and_hold_all_before(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(
        seeds, "run", lambda config, workdir: ran.append((config.seed, workdir.name))
    )

    def rows_of(workdir, config, seed):
        written = len(pd.read_csv(tmp_path / "gap_rows.csv")) if seed else 0
        return pd.DataFrame([{"seed": seed, "value": 0.5 + seed, "written": written}])

    def summary(rows):
        return pd.DataFrame([{"seeds": len(rows), "value": rows["value"].mean()}])

    table = seeds.over_seeds(
        tmp_path, "gap", 3, lambda seed: ConfigDict({"seed": seed}), rows_of, summary
    )
    assert ran == [(0, "seed0"), (1, "seed1"), (2, "seed2")]
    assert table.to_dict("records") == [{"seeds": 3, "value": 1.5}]
    assert pd.read_csv(tmp_path / "gap_rows.csv")["written"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "gap.csv"), table)
    assert (
        (tmp_path / "gap.md").read_text()
        == "| seeds | value |\n| --- | --- |\n| 3 | 1.5 |\n"
        == markdown(table)
    )
    assert capsys.readouterr().out.count("| seeds |") == 3
