"""An assessment of arrays: the same rows as from a table on disk, shown in a notebook."""

from __future__ import annotations

import html

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import fairrecon_jax as fr
from fairrecon_jax import assessment
from fairrecon_jax.assessment.on_arrays import predictions
from fairrecon_jax.types import InputError

OPTIONS = assessment.AssessOptions(permutations=199, null_draws=50, threshold_redraws=0)


def arrays(harm: float = 0.3, count: int = 400, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    label, sex = rng.integers(0, 2, count), rng.choice(["f", "m"], count)
    original = np.clip(0.3 + 0.4 * label + 0.1 * rng.normal(size=count), 0, 1)
    lost = (sex == "f") & (label == 1) & (rng.random(count) < 0.6)
    return {
        "label": label,
        "original": original,
        "reconstructed": np.where(lost, original - harm, original),
        "groups": {"sex": sex, "site": rng.choice([1, 2], count)},
        "patient": np.arange(count) // 2,
    }


@pytest.fixture(scope="module")
def audit():
    given = arrays()
    # one sex and site per patient
    first = np.arange(400) // 2 * 2
    given["groups"] = {name: values[first] for name, values in given["groups"].items()}
    lost = (given["groups"]["sex"] == "f") & (given["label"] == 1)
    given["reconstructed"] = np.where(lost, given["original"] - 0.3, given["original"])
    return fr.assess(**given)


def test_the_planted_harm_is_named(audit):
    row = audit["finding", "sex", "eodd"]
    assert (row.verdict, row.group) == ("harmed", "f")
    assert row.p_adjusted < 0.01
    assert audit["finding", "site", "eodd"].verdict == "no difference shown"
    assert "harmed: f (finding, sex)" in repr(audit)
    assert len(repr(audit)) < 200


def test_arrays_give_the_rows_of_a_table(tmp_path):
    given = arrays()
    given["groups"] = {"sex": given["groups"]["sex"]}
    given["patient"] = None
    ours = fr.assess(**given, options=OPTIONS, threshold=0.5)
    frame = pd.DataFrame(
        {k: given[k] for k in ("label", "original", "reconstructed")} | given["groups"]
    )
    frame.to_csv(tmp_path / "predictions.csv", index=False, float_format="%.17g")
    mapping = {
        "tasks": {"finding": {k: k for k in ("label", "original", "reconstructed")}},
        "attributes": {"sex": "sex"},
    }
    with pytest.warns(UserWarning, match="no patient column"):
        table, spec = fr.read_table(tmp_path / "predictions.csv", mapping)
    performance, fairness = assessment.assess(table, spec, ours.options)
    for mine, theirs in ((ours.performance, performance), (ours.fairness, fairness)):
        numbers = mine.select_dtypes("number").columns
        pd.testing.assert_frame_equal(mine[numbers], theirs[numbers], rtol=1e-12)
        assert mine["verdict"].tolist() == theirs["verdict"].tolist()


def test_a_table_with_other_names_is_the_same_as_arrays():
    given = arrays()
    frame = pd.DataFrame(
        {"y": given["label"], "before": given["original"], "after": given["reconstructed"]}
    ).assign(**given["groups"], who=given["patient"])
    of_table, _ = predictions(
        frame,
        label="y",
        original="before",
        reconstructed="after",
        groups=["sex", "site"],
        patient="who",
    )
    of_arrays, _ = predictions(**given)
    pd.testing.assert_frame_equal(of_table, of_arrays)


def test_several_findings_and_rows_of_the_tandem_step():
    x = np.linspace(0, 1, 40 * 64, dtype=np.float32).reshape(40, 8, 8)
    sex = np.array(["f", "m"] * 20)
    step = fr.tandem(
        fr.GaussianNoise(sd=0.1),
        None,
        {"a": lambda image: image.mean((1, 2, 3)), "b": lambda image: image.max((1, 2, 3))},
    )
    labels = {"a": np.arange(40) >= 20, "b": np.arange(40) >= 10}
    rows = step(x, labels, groups={"sex": sex}, key=0)
    audit = fr.assess(rows, groups=["sex"], options=OPTIONS, threshold=0.5)
    assert [task.name for task in audit.spec.tasks] == ["a", "b"]
    auroc = audit.performance.query("metric == 'auroc' and task == 'a' and attribute == ''")
    assert auroc["value"].notna().any()
    by_name = {
        version: {task: rows[f"{task}__{version}"] for task in "ab"}
        for version in ("label", "original", "reconstructed")
    }
    again = fr.assess(
        **by_name,
        groups={"sex": sex},
        options=OPTIONS,
        threshold=0.5,
        reconstructor="identity",
        example=rows["example_id"],
        level=0.1,
    )
    shared = audit.fairness.columns.difference(["cohort"])
    # without the images' own metrics, which the step alone knows
    diagnoses = audit.fairness[audit.fairness["task"] != ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(diagnoses[shared], again.fairness[shared])


def test_thresholds_follow_from_the_validation_rows():
    given = arrays()
    del given["patient"]
    split = np.where(np.arange(400) < 200, "val", "test")
    fitted = fr.assess(**given, split=split, options=OPTIONS)
    assert fitted.options.threshold_rule == "balanced"
    fixed = fr.assess(**given)
    assert (fixed.options.threshold_rule, fixed.options.threshold_value) == ("fixed", 0.5)
    assert fr.assess(**given, threshold=0.4, options=OPTIONS).options.threshold_value == 0.4


def test_a_notebook_shows_sentences_groups_and_verdicts(audit):
    text = audit._repr_html_()
    assert "Who lost more than others" in text
    assert "harmed" in text
    assert text.count("<table") == 2
    assert html.escape(audit.sentences[0][1]) in text


def test_mitigations_are_those_at_the_headline_level():
    given = arrays(count=160) | {"patient": None}
    plain, _ = predictions(**given)
    better = plain.assign(finding__reconstructed=plain["finding__original"], mitigation="m")
    milder = [part.assign(level=2.0) for part in (plain, better)]
    # at the milder level there is nothing to mend
    milder[0]["finding__reconstructed"] = milder[0]["finding__original"]
    table = pd.concat([plain, better, *milder], ignore_index=True)
    many = fr.assess(table, groups=["sex", "site"], threshold=0.5, options=OPTIONS)
    level = many.findings.headline_level
    alone = fr.assess(
        table[table["level"] == level], groups=["sex", "site"], threshold=0.5, options=OPTIONS
    )
    keys = ["task", "attribute", "reconstructor", "mitigation", "metric"]
    assert not many.mitigations.duplicated(keys).any()
    pd.testing.assert_frame_equal(
        many.mitigations.reset_index(drop=True)[[*keys, "unmitigated", "mitigated"]],
        alone.mitigations.reset_index(drop=True)[[*keys, "unmitigated", "mitigated"]],
    )


def test_names_are_escaped():
    given = arrays(count=60)
    given["groups"] = {"sex": np.where(given["groups"]["sex"] == "f", "<b>f</b>", "m")}
    del given["patient"]
    text = fr.assess(**given, title="<script>", options=OPTIONS)._repr_html_()
    assert "<script>" not in text
    assert "<b>f" not in text


def test_figures(audit):
    for figure in (
        audit.plot.panel(),
        audit.plot.forest(),
        audit.plot.forest("site"),
        audit.plot.groups(),
        audit.plot.groups("sex"),
        audit.plot.examples(np.zeros((8, 8)), np.ones((8, 8)), unet=np.zeros((8, 8))),
    ):
        assert isinstance(figure, Figure)
        assert figure.axes
    plt.close("all")
    with pytest.raises(InputError, match="no attribute 'race'; there are sex, site"):
        audit.plot.forest("race")


def test_the_report_is_the_one_of_a_study(audit, tmp_path):
    page = audit.report(tmp_path, title="My hospital", pdf=False)
    text = page.read_text(encoding="utf-8")
    assert "My hospital" in text
    assert "harmed" in text


def test_what_is_not_there_is_named(audit):
    with pytest.raises(KeyError, match="no task 'mass'; there are 'finding'"):
        audit["mass", "sex", "eodd"]
    with pytest.raises(KeyError, match="no metric 'ser'"):
        audit["finding", "sex", "ser"]
    with pytest.raises(KeyError, match="finding, attribute, metric"):
        audit["finding"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"original": np.full(60, 3.0)}, r"must lie in \[0, 1\], got 3: turn logits"),
        ({"label": np.full(60, 2)}, "must hold 0, 1 or NaN"),
        ({"label": None}, "has no label"),
        ({"reconstructed": None}, "give reconstructed"),
        ({"groups": {"sex": ["f"]}}, "1 entries for 60 images"),
        ({"groups": "sex"}, "names the column 'sex', but no table"),
        ({"split": ["train"] * 60}, "must hold 'val' and 'test'"),
        ({"colour": "red"}, "no such argument"),
        ({"patient": [None] * 60}, "row 1 is empty"),
        ({"original": ["high"] * 60}, "must hold numbers, got 'high'"),
        ({"label": np.zeros(59)}, "different lengths"),
    ],
)
def test_columns_that_cannot_be_used_are_refused(change, message):
    given = arrays(count=60)
    with pytest.raises(InputError, match=message):
        fr.assess(**(given | change))


def test_a_missing_column_lists_those_there_are():
    with pytest.raises(InputError, match="no column 'y'; it has a, b"):
        fr.assess(pd.DataFrame({"a": [1], "b": [2]}), label="y", original="a", reconstructed="b")
