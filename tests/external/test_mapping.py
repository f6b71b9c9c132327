"""Mappings: text whatever YAML would make of it, keys with the nearest known one, constants."""

import pytest

from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.external.mapping import SCHEMA, check_keys, load, options_of
from fairrecon_jax.types import InputError
from tests.support.foreign_tables import plain_frame, read_plain

YAML = """
no: yes
y: 012
1e3: 1_000
list: [NA, on, 2024-01-31, 12:30:45, .inf, "", ~, null, 3.0]
quoted: "null"
base: {a: 1}
"""


def saved(tmp_path, text):
    path = tmp_path / "columns.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_scalars_stay_text(tmp_path):
    assert load(saved(tmp_path, YAML)) == {
        "no": "yes",
        "y": "012",
        "1e3": "1_000",
        "list": ["NA", "on", "2024-01-31", "12:30:45", ".inf", "", None, None, "3.0"],
        "quoted": "null",
        "base": {"a": "1"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: {}\ntasks: {}", "the key 'tasks' stands twice"),
        ("attributes: {sex: A, sex: B}", "the key 'sex' stands twice"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("? [a, b]\n: c", "is no text"),
        ("a: [", "is not YAML"),
        ("base: &base {a: 1}\nmore: {<<: *base, b: 2}", "write out what the alias"),
        ("- a", "must hold keys and values"),
    ],
)
def test_files_that_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load(saved(tmp_path, text))


def test_unknown_keys_are_named_with_the_nearest(tmp_path):
    with pytest.raises(
        ValueError, match=r"unknown keys \['patients'\], did you mean 'patient' for"
    ):
        read_plain(tmp_path, plain_frame(), patients="who")
    tasks = {"finding": {"label": "y", "original": "a", "reconstructd": "b"}}
    with pytest.raises(ValueError, match="did you mean 'reconstructed' for 'reconstructd'"):
        read_plain(tmp_path, plain_frame(), tasks=tasks)
    with pytest.raises(ValueError, match="did you mean 'groups' for 'group'"):
        read_plain(tmp_path, plain_frame(), attributes={"sex": {"column": "sex", "group": {}}})
    with pytest.raises(ValueError, match="did you mean 'threshold_rule' for 'treshold_rule'"):
        options_of({"options": {"treshold_rule": "fixed"}})
    with pytest.raises(ValueError, match=r"known are \['a'\]$"):
        check_keys("here", {"zzz": 1}, frozenset("a"))


def test_options_of_text_are_those_of_python():
    text = {
        "permutations": "199",
        "alpha": "0.1",
        "scores": "no",
        "auroc_gaps": "True",
        "threshold_rule": "fixed",
        "threshold_value": {"a": "0.4"},
        "intersections": [["sex", "age"]],
        "label_weights": ["1", "2"],
        "conventions": "worst_case",
        "continuous": ["Age"],
        "strata": "site",
    }
    assert options_of({"options": text}) == AssessOptions(
        permutations=199,
        alpha=0.1,
        scores=False,
        auroc_gaps=True,
        threshold_rule="fixed",
        threshold_value={"a": 0.4},
        intersections=(("sex", "age"),),
        label_weights=(1.0, 2.0),
        conventions=("worst_case",),
        continuous=("Age",),
        strata="site",
    )
    for wrong in ({"permutations": "1.5"}, {"scores": "maybe"}, {"alpha": "small"}):
        with pytest.raises(ValueError, match=r"mapping 'options' '\w+'"):
            options_of({"options": wrong})


def test_all_options_that_are_wrong_are_told():
    given = {
        "permutatons": "5",
        "scores": "maybe",
        "alpha": "7",
        "permutations": "3",
        "threshold_rule": "fixed",
        "threshold_value": "half",
    }
    with pytest.raises(InputError) as refused:
        options_of({"options": given})
    told = refused.value.refusals
    for start in (
        "mapping 'options' (those of AssessOptions) has unknown keys ['permutatons'], did you mean "
        "'permutations' for 'permutatons'?",
        "mapping 'options' 'scores' must be true or false, got 'maybe'",
        "mapping 'options' 'threshold_value' must be a number, got 'half'",
        "mapping 'options': alpha must",
        "mapping 'options': permutations must be at least 19, got 3",
    ):
        assert [line for line in told if line.startswith(start)], start
    assert len(told) == 5


def test_earlier_names_of_options_are_taken_with_a_word():
    with pytest.warns(FutureWarning, match="'flips' is now called 'permutations'"):
        assert options_of({"options": {"flips": "19"}}).permutations == 19
    with pytest.raises(ValueError, match="both are given"):
        options_of({"options": {"flips": 19, "permutations": 19}})


def test_a_title_and_a_method_name_the_report(tmp_path):
    found, spec = read_plain(tmp_path, plain_frame(), title="Knees, 2021", reconstructor="U-Net v2")
    assert spec.title == "Knees, 2021"
    assert set(found["reconstructor"]) == {"U-Net v2"}
    found, _ = read_plain(tmp_path, plain_frame(), level="8", modality="mri", seed=3)
    assert found[["level", "seed"]].drop_duplicates().to_numpy().tolist() == [[8.0, 3.0]]
    # a column that is nearly called so is meant
    with pytest.raises(ValueError, match=r"no column 'Model', .*; did you mean 'model'"):
        read_plain(
            tmp_path, plain_frame().assign(model="m"), reconstructor="Model", example="image"
        )


def test_the_schema_is_a_mapping(tmp_path):
    mapping = load(saved(tmp_path, SCHEMA))
    assert mapping["tasks"]["effusion"]["scale"] == "probability"
    assert options_of(mapping).threshold_value == 0.5
