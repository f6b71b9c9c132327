"""What the result of each stage depends on, declared once: the digests of the stages and the
identities of the trainings are made of these.

The output of a stage that another one is made from is no input here: the record of the stage holds
it (see `stages`). Neither is where a tree or a work directory lies.
"""

from __future__ import annotations

from typing import Any

from fairrecon_jax.study.config import MitigationConfig, StudyConfig
from fairrecon_jax.types import Cell


def prepared(study: StudyConfig) -> dict[str, Any]:
    """The images: which files, at which size."""
    cohort = study.cohort
    return {
        "name": cohort.name,
        "image_size": cohort.image_size,
        "views": cohort.views,
        "slices": cohort.slices,
        "patients": cohort.patients,
        "source": cohort.source,
        "mask_values": cohort.mask_values,
        **({} if cohort.columns is None else {"columns": cohort.columns.stored}),
    }


def labels(study: StudyConfig) -> dict[str, Any]:
    """The labels and regions that diagnosers learn and are judged by."""
    cohort = study.cohort
    words = {} if cohort.columns is None else {"labels": dict(cohort.columns.labels)}
    return {"tasks": cohort.tasks, "uncertainty": cohort.uncertainty, **words}


def groups(study: StudyConfig, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """The groups that are compared: of the named attributes, of all where none is named."""
    cohort = study.cohort
    if cohort.columns is not None:
        meant = dict(cohort.columns.attributes)
        kept = {name: meant[name] for name in names or meant}
        return {"attributes": names or cohort.attributes, "groups": [cohort.columns.decimal, kept]}
    chosen: dict[str, Any] = {"attributes": names or cohort.attributes}
    if not names or "age" in names:
        chosen |= {"age_cut": cohort.age_cut, "age_cut_side": cohort.age_cut_side}
    # of several recodings each attribute has its own, and all that is assessed has all of them
    races = cohort.races
    wanted = {name: policy for name, policy in races.items() if not names or name in names}
    return {**chosen, "race": wanted} if wanted else chosen


def cohort(study: StudyConfig) -> dict[str, Any]:
    """The prepared cohort and its splits."""
    given = {} if study.cohort.columns is None else {"given": study.cohort.columns.split}
    return {**prepared(study), "splits": study.splits, **given}


def diagnoser(study: StudyConfig, name: str, training: int | None = None) -> dict[str, Any]:
    """A diagnoser's training, under one seed."""
    one = study.diagnosers[name]
    # resolved: a selection metric left open and the same one named are one choice
    train = one.training(training)
    train = train and train.resolve(one.model.validation_metrics)
    return {
        "model": one.model,
        "train": train,
        **prepared(study),
        # which tasks are diagnosed the model says itself
        **{name: value for name, value in labels(study).items() if name != "tasks"},
        # only where it is on: a training without is the same as ever
        **{name: True for name in ("balance", "rare_first") if getattr(one, name)},
    }


def reconstructor(study: StudyConfig, cell: Cell) -> dict[str, Any]:
    """A reconstructor's training at one level, under one seed."""
    one = study.reconstructors[cell.reconstructor]
    # None where weights are imported, or there is nothing to train
    train = one.training(cell.training)
    train = train and train.resolve(one.model.validation_metrics)
    return {
        "model": one.model,
        "train": train,
        "augment": one.augment,
        "degradation": study.degradation.physics,
        "level": cell.level,
        **prepared(study),
    }


def mitigation(study: StudyConfig, one: MitigationConfig, cell: Cell) -> dict[str, Any]:
    """The fine-tuning of one cell."""
    base = study.reconstructors[cell.reconstructor]
    return {
        "method": one.methods[cell.weight],
        "fraction": one.plan.fraction,
        # only where it is not the training patients, as ever
        **({} if one.plan.tuned_on == "train" else {"tuned_on": one.plan.tuned_on}),
        "fine_tuning": one.train.resolve(base.model.validation_metrics),
        "model": base.model,
        "augment": base.augment,
        "degradation": study.degradation.physics,
        "level": cell.level,
        **prepared(study),
        **labels(study),
        **groups(study, getattr(one.methods[cell.weight], "attributes", ())),
    }


def prediction(study: StudyConfig, cell: Cell) -> dict[str, Any]:
    """The predictions of one cell."""
    return {
        "cell": cell,
        "model": study.reconstructors[cell.reconstructor].model,
        "diagnosers": {name: one.model for name, one in study.diagnosers.items()},
        "degradation": study.degradation.physics,
        "tandem": study.tandem,
        "lpips": study.tandem.lpips_digest,
        "evaluate_slices": study.cohort.evaluate_slices,
        **prepared(study),
        **labels(study),
        # not the groups: tables get them where they are assessed, see `predict.with_groups`
    }


def choice(study: StudyConfig, one: MitigationConfig) -> dict[str, Any]:
    """The choice among the weights of a mitigation."""
    # which weights were tried is in the titles of the stages that the choice needs
    plan = one.plan
    return {
        "assess": study.assess,
        **groups(study),
        "psnr_tolerance": plan.psnr_tolerance,
        "task_tolerance": plan.task_tolerance,
    }


def assessment(study: StudyConfig) -> dict[str, Any]:
    """The tables of results."""
    # not the physics: it is in what the predictions depend on, and this stage depends on those
    degradation = study.degradation
    return {
        "assess": study.assess,
        **groups(study),
        "levels": degradation.levels,
        "headline_level": degradation.headline_level,
    }


def report(study: StudyConfig) -> dict[str, Any]:
    """The report, which prints every choice of the study and shows its headline level."""
    return {"study": study}
