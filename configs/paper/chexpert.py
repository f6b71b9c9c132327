"""CheXpert as in the paper: 12 findings, photon counts 1e5, 1e4 and 3e3, 256 px, full U-Net and
DenseNet121; for accelerators.

    fairrecon study --config=configs/paper/chexpert.py --config.cohort.root=DIR/CheXpert-v1.0-small
    --workdir=runs/chexpert

The steps below are the paper's epochs over the 191,027 frontal images split 70/10/20, its training
part cut again 70/30. The paper's classifier starts from ImageNet weights, this configuration from
random ones.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "chexpert"
    c.cohort.image_size = 256  # pixels
    c.cohort.views = ("frontal",)
    c.cohort.uncertainty = "ignore"  # uncertain labels are unknown
    c.cohort.race = ("six", "pooled")  # the paper's groups, and those of its figure 17
    c.cohort.age_cut = 62  # years
    c.cohort.age_cut_side = "under"  # 62 itself is young, as published
    c.splits.diagnosis_fraction = 0.3  # of the training patients, for the classifier alone

    c.degradation.kind = "xray_low_dose"
    c.degradation.levels = (1e5, 1e4, 3e3)  # photon counts
    c.degradation.headline_level = 1e4

    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 64, "depth": 4})
    c.reconstructors.unet.train = training(
        steps=117_000, batch_size=16, learning_rate=1e-3, selection="mse"
    )  # 20 epochs
    c.reconstructors.unet.train.schedule = "constant"
    c.reconstructors.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 64, "downsamplings": 7, "lambda_l1": 1000.0}
    )
    c.reconstructors.pix2pix.train = training(
        steps=585_000, batch_size=32, learning_rate=2e-4, selection="mse"
    )  # 200 epochs
    c.reconstructors.pix2pix.train.schedule = "constant"
    c.reconstructors.pix2pix.train.b1 = 0.5
    c.reconstructors.irsde = ConfigDict({"kind": "irsde", "width": 64, "depth": 4})
    c.reconstructors.irsde.train = training(
        steps=468_000, batch_size=8, learning_rate=1e-4
    )  # 40 epochs
    c.reconstructors.irsde.train.ema = 0.999
    c.reconstructors.irsde.train.eval_batches = 8  # a validation draws samples

    c.diagnosers.findings = ConfigDict(
        {
            "kind": "classifier",
            "backbone": "densenet121",
            "input_size": 224,
            "input_low": -1024.0,
            "input_high": 1024.0,
        }
    )
    c.diagnosers.findings.train = training(
        steps=62_700, batch_size=32, learning_rate=1e-3
    )  # 50 epochs
    c.diagnosers.findings.train.schedule = "constant"
    c.diagnosers.findings.train.weight_decay = 1e-5
    c.tandem.batch_size = 64
    return c
