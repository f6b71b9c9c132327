"""The fields of a study configuration and their defaults; the files in `configs/` start from these
and choose.

Choices only: derived numbers are computed where they are used. Every field is commented.
"""

from typing import Any

from ml_collections import ConfigDict


def training(
    steps: int, batch_size: int, learning_rate: float, selection: str = "loss", mode: str = "min"
) -> ConfigDict:
    """One training's settings; the fields of `fairrecon_jax.training.config.TrainConfig`."""
    c = ConfigDict()
    c.steps = steps  # updates
    c.batch_size = batch_size  # examples per update over all devices of all processes
    c.learning_rate = learning_rate  # peak rate
    c.schedule = "cosine"  # "constant" or "cosine" (to 0 at the last step)
    c.warmup_steps = 0  # linear from 0 to the peak rate
    c.optimizer = "adam"  # "adam" or "adamw"
    c.b1 = 0.9  # Adam's first-moment decay
    c.weight_decay = 0.0  # with "adamw"
    c.ema = 0.0  # decay of the averaged parameters, 0 = none
    c.precision = "float32"  # or "bfloat16" (parameters stay float32)
    c.eval_every = max(steps // 8, 1)  # updates between validations
    c.eval_batch_size = 32  # examples per validation call
    c.selection = selection  # validation metric that picks the best checkpoint
    c.selection_mode = mode  # is a low or a high metric better
    c.patience = 0  # validations without a better one before stopping early, 0 = never
    c.checkpoint_every = max(steps // 4, 1)  # updates between checkpoints
    c.keep = 1  # checkpoints kept besides the best
    c.seed = 0  # weights, shuffling and training noise
    c.workers = 0  # loader processes; the stream does not depend on it
    return c


def mitigation(
    kind: str, steps: int, batch_size: int, learning_rate: float, **fields: Any
) -> ConfigDict:
    """One mitigation's settings: a kind of `fairrecon_jax.mitigation.MITIGATIONS`, its fields, and
    those of `finetuning.Plan`.
    """
    c = ConfigDict({"kind": kind, **fields})
    c.train = training(
        steps, batch_size, learning_rate, selection=""
    )  # the last weights: the best image is not the fairest one
    return c


def study() -> ConfigDict:
    """What every study has, without cohort, models and levels."""
    c = ConfigDict()
    c.seed = 0  # measurement noise and sampling at evaluation
    c.cohort = ConfigDict()
    c.cohort.root = ""  # folder with the downloaded tree
    c.phantom = ConfigDict(
        {"kind": ""}
    )  # "xray" or "brain" writes a phantom tree where root is empty
    c.splits = ConfigDict()
    c.splits.seed = 0  # which split
    c.splits.fractions = (0.7, 0.1, 0.2)  # train, validation, test patients
    c.splits.diagnosis_fraction = (
        0.0  # share of the training patients kept apart for the diagnosers, 0 = shared
    )
    c.degradation = ConfigDict()
    c.reconstructors = ConfigDict(
        {"identity": {"kind": "identity"}}
    )  # the degraded image goes straight to the diagnosis
    c.diagnosers = ConfigDict()
    # by name, e.g. mitigation("equalised_odds", 500, 16, 1e-4, weights=(0.1, 1.0)); none by default
    c.mitigations = ConfigDict()
    c.tandem = ConfigDict()
    c.tandem.batch_size = 32  # examples per fused call over all devices of all processes
    c.assess = ConfigDict()
    c.assess.replicates = 1000  # bootstrap replicates
    c.assess.seed = 0  # of the bootstrap and the tests
    c.report = ConfigDict()
    c.report.examples = 3  # test patients shown
    c.report.identifiers = False  # print patient identifiers
    return c
