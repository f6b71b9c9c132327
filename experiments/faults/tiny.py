"""A study of every kind of stage that is done in seconds: radiographs of 32 px, thin networks."""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training
from fairrecon_jax.models.resnet import STAGES

# Every process of the harness reads this file: a classifier of one block a stage compiles sooner.
STAGES[18] = (1, 1, 1, 1)
FEW = {"eval_every": 2, "eval_batch_size": 8, "checkpoint_every": 1, "log_every": 1}


def _train(steps: int = 4) -> ConfigDict:
    """A training of a few steps with a checkpoint after each."""
    block = training(steps=steps, batch_size=8, learning_rate=1e-3)
    block.update(FEW)
    return block


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.phantom.update(kind="xray", patients=60, size=32, workers=1)
    c.phantom.prevalence = {"Cardiomegaly": 0.4}
    c.cohort.update(name="chexpert", image_size=32, tasks=("cardiomegaly",), attributes=("sex",))
    c.degradation.update(kind="xray_low_dose", levels=(1e4,), headline_level=1e4)
    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 8, "depth": 1})
    c.reconstructors.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 4, "downsamplings": 2, "disc_width": 4, "disc_layers": 1}
    )
    c.reconstructors.irsde = ConfigDict(
        {"kind": "irsde", "width": 8, "depth": 1, "attention": False, "preset": "ode2_5"}
    )
    c.diagnosers.findings = ConfigDict(
        {"kind": "classifier", "backbone": "resnet18", "width": 4, "hidden": (8,)}
    )
    for block in (*c.reconstructors.values(), *c.diagnosers.values()):
        if block.kind != "identity":
            block.train = _train()
    c.reconstructors.irsde.train.update(selection="", eval_every=0)
    c.mitigations.eodd = mitigation("equalised_odds", 4, 8, 1e-3, reconstructors=("unet",))
    c.mitigations.eodd.update(weights=(0.1,), psnr_tolerance=99.0, task_tolerance=1.0)
    c.mitigations.eodd.train.update(FEW)
    c.tandem.batch_size = 32
    c.assess.update(replicates=20, permutations=19, null_draws=10)
    c.report.update(examples=1, dpi=50, pdf=False)
    return c
