"""Foreign tables: mappings, the published code's CSV, and counted exclusions."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_curve

from fairrecon_jax.assessment import AssessOptions, assess, write_predictions
from fairrecon_jax.data.cells import number
from fairrecon_jax.physics import describe
from fairrecon_jax.study.table import assess_table, options_of, read_table
from fairrecon_jax.types import CohortSpec, Task
from tests.support.foreign_tables import MAPPING, frame, reasons, saved

QUICK = AssessOptions(
    replicates=50, permutations=99, null_draws=20, threshold_rule="fixed", threshold_value=0.5
)
ENDS = {"": "p0", "_recon": "p1"}


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_mapping_is_applied(tmp_path, name):
    mapping = tmp_path / "columns.yaml"
    mapping.write_text(yaml.safe_dump(MAPPING, sort_keys=False))
    source = frame()
    table, spec = read_table(saved(tmp_path, source, name), mapping)
    assert [t.name for t in spec.tasks] == ["effusion"]
    assert spec.degradation == describe("mri_radial", (8.0,), 8.0)
    assert [a.groups for a in spec.attributes] == [("Female", "Male"), ("under 62", "62 or older")]
    assert table["split"].value_counts().to_dict() == {"test": 160, "val": 80}
    assert (table["sex"] == source["Sex"].str.upper().map({"F": "Female", "M": "Male"})).all()
    assert ((table["age"] == "under 62") == (source["Age"] < 62)).all()
    np.testing.assert_allclose(table["effusion__reconstructed"], source["p1"])
    assert table.attrs["exclusions"] == []


def test_the_published_csv_is_recognised(tmp_path):
    source = frame()
    printed = pd.DataFrame(
        {
            "Lung Opacity": source["y"].map("tensor({}., dtype=torch.float64)".format),
            "Lung Opacity_class": source["p0"].map("tensor([{}])".format),
            "Lung Opacity_recon": source["p1"].map("tensor({}, device='cuda:0')".format),
            "sex": np.where(source["Sex"] == "F", "tensor(0.)", "tensor(1.)"),
            "Age": source["Age"].map("tensor({}., dtype=torch.float64)".format),
            "nrmse": 0.01,  # a mean squared error, whatever it is called
        }
    )
    table, spec = read_table(saved(tmp_path, printed, "preds_unet.csv"))
    assert spec.tasks == (Task("lung_opacity", "classification", "none", "Lung Opacity"),)
    np.testing.assert_allclose(table["lung_opacity__original"], source["p0"])
    assert [a.groups for a in spec.attributes] == [("0", "1"), ("62 and under", "over 62")]
    assert reasons(table) == {
        "no patient column: every image counts as a patient of its own; rows": 240
    }
    assert set(table["reconstructor"]) == {"preds_unet"}
    assert "nrmse" not in table
    assert set(table["mse"]) == {0.01}
    with pytest.raises(ValueError, match=r"needs validation patients.*threshold_rule='fixed'"):
        assess(table, spec)


def test_the_published_csv_is_assessed_as_its_own_code_does(tmp_path):
    source, one, other = frame(), "TTypeBCEClassifier", "TGradeBCEClassifier"
    r = np.random.default_rng(1)
    pixels = np.where(r.random(240) < 0.3, 0, r.integers(1, 50, 240))
    seen = np.where(r.random(240) < 0.8, pixels, 0)
    dice = np.where(pixels + seen > 0, np.where(pixels * seen > 0, 0.7, 0.0), np.nan)
    columns = {
        "path": "a.nii",
        "patient_id": [f"p{i // 2}" for i in range(240)],
        "sex": np.repeat(r.choice(["tensor(0)", "tensor(1)"], 120), 2),
        "age": np.repeat([f"tensor({a}., dtype=torch.float64)" for a in source["Age"][:120]], 2),
        "cns": np.repeat(source["y"].to_numpy()[:120], 2),
        "diagnosis": np.repeat(source["y"].to_numpy()[:120], 2),
        **{f"{name}{end}": source[p] for name in (one, other) for end, p in ENDS.items()},
        "UNet_dice": 0.8,
        "UNet_sum": 40,
        "UNet_recon_dice": dice,
        "UNet_recon_sum": seen,
        "psnr": 30.0,
    }
    printed = pd.DataFrame(columns)
    table, spec = read_table(saved(tmp_path, printed, "ucsf_unet.csv"))
    assert (spec.modality, [t.name for t in spec.tasks]) == ("mri", ["grade", "type", "tumor"])
    assert (table["sex"] == printed["sex"].map({"tensor(0)": "Male", "tensor(1)": "Female"})).all()
    options = options_of({"options": table.attrs["options"]})
    assert (options.threshold_rule, options.empty_mask) == ("published", "published")
    quick = dataclasses.replace(options, permutations=19, null_draws=5, replicates=50)
    performance, fairness = assess(table, spec, quick)
    medians = printed.groupby("patient_id", sort=False)[[one, "cns"]].median()
    rate, found, cuts = roc_curve(medians["cns"], medians[one])
    cut = performance[(performance["metric"] == "threshold") & (performance["task"] == "type")]
    np.testing.assert_allclose(cut["value"].iloc[0], cuts[np.argmin(np.abs(1 - rate - found))])
    # a mean over a patient's defined slices, over all patients that have one
    wanted = printed.groupby("patient_id")["UNet_recon_dice"].mean().mean()
    rows = performance[(performance["metric"] == "dice") & (performance["group"] == "")]
    np.testing.assert_allclose(rows["value"].iloc[1], wanted)
    judged = fairness[(fairness["metric"] == "ser") & (fairness["convention"] == "mean")]
    assert judged.loc[judged["version"] == "change", "p_two_sided"].between(0, 1).all()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tensor(68., dtype=torch.float64)", 68),
        ("tensor([0.25])", 0.25),
        ("1e-3", 0.001),
        ("[0.5]", 0.5),
        (" -1 ", -1),
        (3, 3),
        ("", np.nan),
        ("tensor(nan)", np.nan),
    ],
)
def test_numbers(text, value):
    np.testing.assert_equal(number(text), float(value))


@pytest.mark.parametrize(
    "text", ["__import__('os').getcwd()", "tensor(1., 2.)(", "0.5 0.6", "tensor(abs(1))"]
)
def test_nothing_is_evaluated(text):
    with pytest.raises(ValueError, match="is not a number"):
        number(text)


def test_without_originals_the_assessment_is_unpaired(tmp_path):
    tasks = {"effusion": {"label": "y", "reconstructed": "p1"}}
    table, spec = read_table(saved(tmp_path, frame()), {**MAPPING, "tasks": tasks})
    performance, fairness = assess(table, spec, QUICK)
    auroc = performance.query("metric == 'auroc' and attribute == ''").set_index("version")
    assert np.isfinite(auroc.loc["reconstructed", "value"])
    assert np.isnan(auroc.loc["change", "value"])
    assert "no predictions on original images" in auroc.loc["change", "reason"]
    change = fairness.query(
        "metric == 'eodd' and version == 'change' and convention == 'worst_case'"
    )
    assert set(change["verdict"]) == {"not estimable"}
    assert change["reason"].str.contains("no predictions on original images").all()
    assert np.isfinite(
        fairness.query("metric == 'eodd' and version == 'reconstructed'")["value"]
    ).all()
    with pytest.raises(ValueError, match="no predictions on original validation images"):
        assess(table, spec)


def test_assess_table_writes_results_and_report(tmp_path):
    options = {
        "threshold_rule": "per_version",
        "replicates": 50,
        "null_draws": 20,
        "auroc_gaps": False,
    }
    page = assess_table(saved(tmp_path, frame()), {**MAPPING, "options": options}, tmp_path / "run")
    assert page.is_file()
    assert (tmp_path / "run" / "predictions.parquet").is_file()
    written = pd.read_csv(tmp_path / "run" / "results" / "fairness.csv")
    assert {"eodd", "eop"} <= set(written["metric"])
    again, spec = read_table(tmp_path / "run" / "predictions.parquet")
    assert (len(again), spec.name) == (240, "mine")


def test_options_may_name_columns_of_the_file(tmp_path):
    """Strata and continuous attributes need not be attributes."""
    rng = np.random.default_rng(0)
    table = frame()
    table["site"] = rng.choice(["x", "y"], len(table))
    table["years"] = rng.uniform(20, 80, len(table)).round(1)
    options = {
        "threshold_rule": "fixed",
        "threshold_value": 0.5,
        "replicates": 20,
        "null_draws": 5,
        "permutations": 99,
        "strata": "site",
        "continuous": ["years"],
    }
    mapping = {**MAPPING, "options": options}
    read, _ = read_table(saved(tmp_path, table), mapping)
    assert set(read["site"]) == {"x", "y"}
    assert read["years"].dtype == float
    assess_table(saved(tmp_path, table), mapping, tmp_path / "run")
    assert set(pd.read_csv(tmp_path / "run" / "results" / "trends.csv")["column"]) == {"years"}
    fairness = pd.read_csv(tmp_path / "run" / "results" / "fairness.csv")
    assert fairness["method"].str.contains("within strata").any()
    for wrong in ({"strata": "room"}, {"continuous": ["weight"]}):
        with pytest.raises(ValueError, match=r"options\.(strata|continuous)"):
            read_table(saved(tmp_path, table), {**MAPPING, "options": {**options, **wrong}})


def test_exclusions_are_counted(tmp_path):
    table = frame()
    table.loc[0:4, "pid"] = None
    table.loc[5:6, "y"] = -1
    table.loc[230:239, "Sex"] = "unknown"
    table = pd.concat([table, table.iloc[100:103]])
    extra = {**MAPPING["tasks"], "rare": {"label": "zero", "original": "p0", "reconstructed": "p1"}}
    mapping = {**MAPPING, "tasks": extra, "attributes": {**MAPPING["attributes"], "site": "model"}}
    predictions, spec = read_table(saved(tmp_path, table.assign(zero=0)), mapping)
    assert reasons(predictions) == {
        "uncertain labels (-1) of effusion count as unknown": 2,
        "rows without a patient were left out": 5,
        "repeated identical rows were left out": 3,
        "task rare was left out: its test labels are all 0": 160,
        "entries ('unknown' 10 times) of sex count as unknown": 10,
        "test rows without a group of sex are left out of its gaps": 10,
        "attribute site was left out: its test rows hold ['unet'], and a gap needs two": 160,
    }
    assert ([t.name for t in spec.tasks], [a.name for a in spec.attributes]) == (
        ["effusion"],
        ["sex", "age"],
    )
    assert len(predictions) == 235


def test_exclusions_warn(tmp_path):
    with pytest.warns(
        UserWarning, match=r"uncertain labels \(-1\) of effusion count as unknown \(1\)"
    ):
        read_table(
            saved(tmp_path, frame().assign(y=frame()["y"].where(frame().index != 0, -1))), MAPPING
        )


def test_options_of_a_mapping():
    assert options_of(
        {
            "options": {
                "threshold_rule": "fixed",
                "threshold_value": 0.4,
                "conventions": ["worst_case"],
            }
        }
    ).conventions == ("worst_case",)
    assert options_of({"options": {"intersections": [["sex", "age"]]}}).intersections == (
        ("sex", "age"),
    )
    with pytest.raises(ValueError, match=r"mapping 'options'.*'treshold'"):
        options_of({"options": {"treshold": 1}})
    with pytest.raises(ValueError, match="mapping 'options' must hold 'name: entry' pairs"):
        options_of({"options": ["threshold_rule"]})


def test_our_own_table_needs_no_mapping(tmp_path):
    spec = CohortSpec(
        "c",
        "C",
        "mri",
        (Task("a", "classification"),),
        (),
        describe("mri_radial", (8.0,), 8.0),
    )
    write_predictions(tmp_path / "own.parquet", pd.DataFrame({"example_id": ["b", "a"]}), spec)
    table, read_spec = read_table(tmp_path / "own.parquet")
    assert (table["example_id"].tolist(), read_spec) == (["a", "b"], spec)
