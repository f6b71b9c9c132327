"""Flags of the commands beside --config, --workdir and --verbose."""

from __future__ import annotations

from absl import flags


def phantom_flags(values: flags.FlagValues) -> None:
    """Flags of `phantom`."""
    flags.DEFINE_enum(
        "kind",
        None,
        ["xray", "brain"],
        "what to draw; config.phantom.kind, or xray, if not given",
        flag_values=values,
    )
    flags.DEFINE_string("root", "phantom", "folder to write; must not exist", flag_values=values)
    for name, text in (
        ("patients", "number of patients, beside the 4 of radiographs' official validation tree"),
        ("size", "pixels"),
        ("seed", "seed"),
        ("workers", "drawing processes"),
    ):
        flags.DEFINE_integer(
            name, None, f"{text}; config.phantom.{name} if not given", flag_values=values
        )


def model_flags(values: flags.FlagValues, diagnosers: bool = True) -> None:
    """Flags that pick models."""
    where = "config.reconstructors" + (" or config.diagnosers" if diagnosers else "")
    flags.DEFINE_string("model", "", f"name in {where}; all if empty", flag_values=values)
    flags.DEFINE_string("level", "", "one level; all if empty", flag_values=values)


def mitigate_flags(values: flags.FlagValues) -> None:
    """Flags of `mitigate`."""
    flags.DEFINE_string(
        "mitigation", "", "name in config.mitigations; all if empty", flag_values=values
    )
    flags.DEFINE_string(
        "reconstructor",
        "",
        "name in config.reconstructors; all that the mitigation names if empty",
        flag_values=values,
    )
    flags.DEFINE_string(
        "level", "", "one level; all that the mitigation names if empty", flag_values=values
    )


def import_flags(values: flags.FlagValues) -> None:
    """Flags of `import-weights`."""
    model_flags(values, diagnosers=False)
    flags.DEFINE_string("diagnoser", "", "name in config.diagnosers", flag_values=values)
    flags.DEFINE_list(
        "weights",
        [],
        "files (.pth, .pth.tar, .pt, .bin, .ckpt, .state, .safetensors); {level} stands for the "
        "level",
        flag_values=values,
    )
    flags.DEFINE_string("output", "", "folder to write instead of the study's", flag_values=values)


def predict_flags(values: flags.FlagValues) -> None:
    """Flags of `predict`."""
    model_flags(values, diagnosers=False)


def reconstruct_flags(values: flags.FlagValues) -> None:
    """Flags of `reconstruct`."""
    model_flags(values, diagnosers=False)
    flags.DEFINE_enum(
        "part", "test", ["train", "val", "test"], "part of the split", flag_values=values
    )


def assess_flags(values: flags.FlagValues) -> None:
    """Flags of `assess`."""
    flags.DEFINE_string(
        "predictions",
        "",
        "a table from anywhere (CSV, Excel or parquet) instead of a study's",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "init",
        False,
        "write a mapping from the columns of --predictions, with comments, to --mapping "
        "(columns.yaml if empty), and stop",
        flag_values=values,
    )
    flags.DEFINE_string("mapping", "", "YAML that says which column is what", flag_values=values)
    flags.DEFINE_string(
        "sheet", "", "of an Excel file with several, for --init", flag_values=values
    )
    text = "write a second page with every figure and table, for --predictions"
    flags.DEFINE_boolean("appendix", False, text, flag_values=values)


def report_flags(values: flags.FlagValues) -> None:
    """Flags of `report`."""
    flags.DEFINE_enum(
        "style",
        "study",
        ["study", "paper"],
        "the study's own report, or the tables and figures of the paper",
        flag_values=values,
    )
    flags.DEFINE_list(
        "workdirs",
        [],
        "with --style=paper: finished studies of radiographs and of brain MRI; --workdir takes the "
        "page (runs/paper if empty)",
        flag_values=values,
    )


def merge_flags(values: flags.FlagValues) -> None:
    """Flags of `merge`."""
    flags.DEFINE_list(
        "workdirs", [], "work directories of finished studies, at least two", flag_values=values
    )


def init_flags(values: flags.FlagValues) -> None:
    """Flags of `init`."""
    image_flags(values)
    flags.DEFINE_string("output", "my_study.py", "file to write", flag_values=values)


def image_flags(values: flags.FlagValues) -> None:
    """Flags that name a table and images."""
    flags.DEFINE_string("images", "", "folder of the images", flag_values=values)
    flags.DEFINE_string("table", "", "CSV, TSV or Excel file, a row an image", flag_values=values)
    flags.DEFINE_string("sheet", "", "of an Excel file with several", flag_values=values)
    flags.DEFINE_string(
        "masks", "", "folder of masks under the images' names, or a column", flag_values=values
    )
    flags.DEFINE_list(
        "labels", [], "columns of findings beside those that look so", flag_values=values
    )
    flags.DEFINE_list(
        "attributes", [], "columns of groups beside those that look so", flag_values=values
    )
    flags.DEFINE_enum(
        "modality", None, ["xray", "mri"], "by the files if not given", flag_values=values
    )


def pairs_flags(values: flags.FlagValues) -> None:
    """Flags of `pairs`."""
    image_flags(values)
    flags.DEFINE_list(
        "reconstructions",
        [],
        "folder of reconstructions under the images' names, or a column; several as NAME=DIR",
        flag_values=values,
    )
    flags.DEFINE_string(
        "degraded", "", "folder of degraded images, or a column", flag_values=values
    )
    flags.DEFINE_integer(
        "steps", 0, "of the diagnosers' trainings; the usual ones if 0", flag_values=values
    )


def plan_flags(values: flags.FlagValues) -> None:
    """Flags of `plan`."""
    flags.DEFINE_boolean("json", False, "print the stages as JSON", flag_values=values)


def study_flags(values: flags.FlagValues) -> None:
    """Flags of `study`."""
    text = "say what would be made, why, and how long that took before; make nothing"
    flags.DEFINE_boolean("dry_run", False, text, flag_values=values)
    text = "compare every file with what was recorded when it was written; make nothing"
    flags.DEFINE_boolean("verify", False, text, flag_values=values)
    text = "a stage, as --dry_run calls it: make this one alone; everything that is left if empty"
    flags.DEFINE_string("only", "", text, flag_values=values)
