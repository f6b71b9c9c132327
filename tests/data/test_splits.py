import json

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.data.splits import Splits, make_splits, patient_traits, read_splits, write_splits
from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, Task

SPEC = CohortSpec(
    "toy",
    "Toy",
    "xray",
    (
        Task("rare", "classification"),
        Task("common", "classification"),
        Task("area", "segmentation", "mean"),
    ),
    (Attribute("sex", ("female", "male")), Attribute("race", ("White", "Black", "Asian"))),
    describe("xray_low_dose", (1e4,), 1e4),
)


def toy(patients: int, seed: int = 0, images: int = 3) -> pd.DataFrame:
    """Patients with one to `images` images each; a rare finding, a common one, a mask, two
    attributes with unknowns.
    """
    generator = np.random.default_rng(seed)
    count = generator.integers(1, images + 1, patients)
    rows = np.repeat(np.arange(patients), count)
    sex = generator.choice(["female", "male"], patients)
    race = generator.choice(
        np.array(["White", "Black", "Asian", None], object), patients, p=[0.7, 0.15, 0.1, 0.05]
    )
    return pd.DataFrame(
        {
            "example_id": [f"p{p}/{i}" for i, p in enumerate(rows)],
            "patient_id": [f"p{p:04d}" for p in rows],
            "sex": sex[rows],
            "race": race[rows],
            "rare": (generator.random(len(rows)) < 0.05).astype(float),
            "common": np.where(
                generator.random(len(rows)) < 0.1, np.nan, generator.random(len(rows)) < 0.4
            ),
            "area": generator.integers(0, 3, len(rows)),
        }
    )


@pytest.mark.parametrize(
    ("patients", "fractions", "sizes"),
    [
        (40, (0.5, 0.2, 0.3), (20, 8, 12)),
        (100, (0.7, 0.1, 0.2), (70, 10, 20)),
        (7, (0.7, 0.1, 0.2), (5, 1, 1)),
    ],
)
def test_part_sizes_are_exact_and_never_empty(patients, fractions, sizes):
    splits = make_splits(toy(patients), SPEC, fractions)
    assert tuple(splits.counts().values()) == sizes


def test_every_patient_is_in_one_part_and_rows_follow_patients():
    table = toy(200)
    splits = make_splits(table, SPEC)
    rows = [splits.rows(table, name) for name in ("train", "val", "test")]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(table)))
    owners = [set(table["patient_id"].iloc[part]) for part in rows]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    np.testing.assert_array_equal(
        splits.rows(table, "val", "test"), np.sort(np.concatenate(rows[1:]))
    )


def test_stratification_beats_chance():
    table = toy(400)
    names, traits = patient_traits(table, SPEC)
    overall = traits.mean(axis=0)

    def spread(parts: dict[str, str]) -> float:
        shares = [
            traits[[parts[name] == part for name in names]].mean(axis=0) for part in ("val", "test")
        ]
        return float(np.abs(np.stack(shares) - overall[None]).mean())

    stratified = spread(make_splits(table, SPEC).patients)
    generator = np.random.default_rng(0)
    order = ["train"] * 280 + ["val"] * 40 + ["test"] * 80
    random = [spread(dict(zip(names, generator.permutation(order)))) for _ in range(20)]
    assert stratified < 0.5 * np.mean(random)
    assert stratified < 0.015


def test_rare_trait_reaches_every_part():
    table = toy(40, seed=3, images=1).assign(rare=0.0)
    table.loc[table.index[:4], "rare"] = 1.0
    splits = make_splits(table, SPEC, (0.5, 0.2, 0.3))
    for name, least in (("train", 2), ("val", 1), ("test", 1)):
        assert table["rare"].iloc[splits.rows(table, name)].sum() >= least


def test_traits_take_the_patient_maximum_and_the_most_frequent_group():
    table = pd.DataFrame(
        {
            "patient_id": ["b", "a", "a", "a"],
            "rare": [np.nan, 0, 1, 0],
            "common": [np.nan] * 4,
            "area": [0, 0, 0, 5],
            "sex": [None, "male", "male", "female"],
            "race": [None] * 4,
        }
    )
    names, traits = patient_traits(table, SPEC)
    assert names == ["a", "b"]
    assert traits.tolist() == [[True, False, True, False, True, False, False, False], [False] * 8]


def test_same_seed_same_splits_whatever_the_row_order():
    table = toy(120)
    first = make_splits(table, SPEC, seed=5)
    assert make_splits(table.sample(frac=1, random_state=1), SPEC, seed=5) == first
    assert make_splits(table, SPEC, seed=6).digest != first.digest


def test_diagnosis_part_is_cut_from_train_by_patient():
    table = toy(100)
    splits = make_splits(table, SPEC, diagnosis_fraction=0.3)
    assert splits.counts() == {
        "train_reconstruction": 49,
        "train_diagnosis": 21,
        "val": 10,
        "test": 20,
    }
    reconstruction, diagnosis = (
        splits.rows(table, "train_reconstruction"),
        splits.rows(table, "train_diagnosis"),
    )
    assert not set(table["patient_id"].iloc[reconstruction]) & set(
        table["patient_id"].iloc[diagnosis]
    )
    np.testing.assert_array_equal(
        splits.rows(table, "train"), np.sort(np.concatenate([reconstruction, diagnosis]))
    )


def test_without_a_cut_both_training_parts_are_the_whole_training_part():
    table = toy(50)
    splits = make_splits(table, SPEC)
    for name in ("train_reconstruction", "train_diagnosis"):
        np.testing.assert_array_equal(splits.rows(table, name), splits.rows(table, "train"))


def test_bad_arguments():
    table = toy(20)
    with pytest.raises(ValueError, match="sum 1"):
        make_splits(table, SPEC, (0.5, 0.2, 0.2))
    with pytest.raises(ValueError, match="diagnosis_fraction"):
        make_splits(table, SPEC, diagnosis_fraction=1.0)
    with pytest.raises(ValueError, match="2 patients are too few"):
        make_splits(toy(2), SPEC)
    splits = make_splits(table, SPEC)
    with pytest.raises(ValueError, match="unknown part valid"):
        splits.rows(table, "valid")
    with pytest.raises(ValueError, match="none given"):
        splits.rows(table)
    with pytest.raises(ValueError, match=r"10 patients of the table in no part, e\.g\. p0020"):
        splits.rows(toy(30, images=1).assign(patient_id=[f"p{i:04d}" for i in range(30)]), "val")


def test_written_once_and_read_back(tmp_path):
    splits = make_splits(toy(60), SPEC, diagnosis_fraction=0.3, seed=2)
    path = tmp_path / "work" / "splits.json"
    write_splits(path, splits)
    assert read_splits(path, seed=2) == splits
    write_splits(path, splits)
    with pytest.raises(FileExistsError, match="written once"):
        write_splits(path, make_splits(toy(60), SPEC, seed=3))
    assert [file.name for file in path.parent.iterdir()] == ["splits.json"]
    assert json.loads(path.read_text())["counts"] == splits.counts()


def test_numpy_seed_is_written_as_a_number(tmp_path):
    write_splits(tmp_path / "s.json", make_splits(toy(20), SPEC, seed=np.int64(4)))
    assert read_splits(tmp_path / "s.json").seed == 4


def corrupt(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_refuses_overlap_changed_hash_other_seed_and_foreign_files(tmp_path):
    path = tmp_path / "splits.json"
    splits = make_splits(toy(30), SPEC)
    write_splits(path, splits)
    whole = path.read_text()
    with pytest.raises(ValueError, match="made with seed 0, not 1"):
        read_splits(path, seed=1)

    corrupt(path, lambda c: c["parts"]["test"].append(c["parts"]["train"][0]))
    with pytest.raises(ValueError, match=r"patient p\d+ is in more than one part"):
        read_splits(path)

    path.write_text(whole)
    corrupt(path, lambda c: c["parts"]["test"].append(c["parts"]["train"].pop()))
    with pytest.raises(ValueError, match="changed after it was written"):
        read_splits(path)

    path.write_text(whole)
    corrupt(path, lambda c: c.update(seed=9))
    with pytest.raises(ValueError, match="hash does not match"):
        read_splits(path)

    for content in ("[]", "{", '{"parts": 3}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="is not a splits file"):
            read_splits(path)
    with pytest.raises(FileNotFoundError):
        read_splits(tmp_path / "absent.json")


def test_unknown_part_name_in_a_file(tmp_path):
    splits = make_splits(toy(30), SPEC)
    path = tmp_path / "splits.json"
    write_splits(path, splits)
    corrupt(path, lambda c: c["parts"].update(extra=["somebody"]))
    with pytest.raises(ValueError, match="unknown part extra"):
        read_splits(path)


def test_splits_are_plain_data():
    assert Splits(0, (0.7, 0.1, 0.2), {"a": "train"}, "x").counts() == {"train": 1}
