"""Predictions on disk: the specification travels with the table, rows have one order, nobody sees
half a file.
"""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fairrecon_jax.assessment import (
    read_predictions,
    read_results,
    write_predictions,
    write_results,
)
from fairrecon_jax.assessment.rows import as_table
from tests.support import predictions_fake as fake


def test_round_trip(tmp_path):
    table = fake.xray(patients=20)
    write_predictions(tmp_path / "made" / "p.parquet", table, fake.XRAY)
    read, spec = read_predictions(tmp_path / "made" / "p.parquet")
    assert spec == fake.XRAY
    order = [
        "cohort",
        "seed",
        "level",
        "reconstructor",
        "mitigation",
        "split",
        "patient_id",
        "example_id",
    ]
    expected = table.sort_values(order).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        read.astype({"sex": object}), expected.astype({"sex": object}), check_dtype=False
    )
    assert read["sex"].isna().sum() == table["sex"].isna().sum()


def test_the_order_of_rows_does_not_matter(tmp_path):
    table = fake.xray(patients=20)
    for name, part in (("a", table), ("b", table.sample(frac=1, random_state=1))):
        write_predictions(tmp_path / f"{name}.parquet", part, fake.XRAY)
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "b.parquet"))


def test_nothing_is_left_aside(tmp_path):
    write_predictions(tmp_path / "p.parquet", fake.xray(patients=5), fake.XRAY)
    before = (tmp_path / "p.parquet").read_bytes()
    broken = fake.xray(patients=5).assign(bad=[object() for _ in range(10)])
    with pytest.raises(Exception, match="object"):
        write_predictions(tmp_path / "p.parquet", broken, fake.XRAY)
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]
    assert (tmp_path / "p.parquet").read_bytes() == before


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="needs the column 'example_id'"):
        write_predictions(tmp_path / "p.parquet", pd.DataFrame({"a": [1]}), fake.XRAY)
    with pytest.raises(FileNotFoundError, match="no predictions table at"):
        read_predictions(tmp_path / "p.parquet")
    pd.DataFrame({"example_id": np.arange(3)}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(
        ValueError,
        match=r"no cohort specification; read foreign tables with fairrecon_jax\.external",
    ):
        read_predictions(tmp_path / "foreign.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ValueError, match="is not a parquet file"):
        read_predictions(tmp_path / "text.parquet")


def test_results_keep_names_that_stand_for_nothing_elsewhere(tmp_path):
    names = ["NA", "None", "null", "nan", "n/a", "2024", "1.0", "True", ""]
    rows = [
        {"task": name, "group": name, "value": 0.1 + number / 3, "n": number, "level": 8.0}
        for number, name in enumerate(names)
    ]
    written = as_table([*rows, {"task": "unknown value", "verdict": "not estimable"}])
    sweep = pd.DataFrame({"sweep": ["NA", "1"], "chosen": ["null", ""], "weight": [0.3, np.nan]})
    write_results(tmp_path, fairness=written, mitigation_sweep=sweep)
    pd.testing.assert_frame_equal(read_results(tmp_path, "fairness"), written, check_exact=True)
    pd.testing.assert_frame_equal(read_results(tmp_path, "mitigation_sweep"), sweep)
