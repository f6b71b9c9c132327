"""CheXpert as in the paper: 12 findings, photon counts 1e5, 1e4 and 3e3, 256 px, U-Net, Pix2Pix,
SDE, DenseNet121 and three mitigations; for accelerators.

    fairrecon study --config=chexpert --config.cohort.root=DIR/CheXpert-v1.0-small
    --config.diagnosers.findings.init=densenet121-imagenet.pth --workdir=runs/chexpert

The steps are the paper's epochs over the 191,027 frontal images split 70/10/20 by patient, its
training part cut again 70/30. Where a field departs from the paper, or the paper from its published
code, a comment says so. Without `init` the classifier starts from random weights, the paper's from
those of ImageNet.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training

LAMBDAS = (0.01, 0.316, 1.0, 3.16, 10.0)


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

    reconstructors(c.reconstructors)
    findings = ConfigDict(
        {
            "kind": "classifier",
            "backbone": "densenet121",
            "input_size": 224,
            "input_low": -1024.0,
            "input_high": 1024.0,
            "rotate": 45.0,  # degrees; the border is repeated, where the original fills with grey
            "shift": 0.15,
            "zoom": 0.15,
            "rare_first": True,  # weights of the tasks, as TorchXRayVision trains
            "init": "",  # a file of ImageNet weights
        }
    )
    # 50 epochs of 1,254 steps; the best by validation loss, where the original takes the AUROC
    findings.train = training(steps=62_700, batch_size=32, learning_rate=1e-3)
    findings.train.update(
        schedule="constant", optimizer="amsgrad", weight_decay=1e-5, eval_every=1_254
    )
    c.diagnosers.findings = findings
    mitigations(c.mitigations)
    c.tandem.batch_size = 64
    return c


def reconstructors(blocks: ConfigDict) -> None:
    """U-Net, Pix2Pix and SDE."""
    blocks.unet = ConfigDict({"kind": "mse", "width": 64, "depth": 4})
    blocks.unet.train = training(117_000, 16, 1e-3, selection="mse")  # 20 epochs of 5,850 steps
    blocks.unet.train.update(schedule="constant", eval_every=5_850, patience=5)  # epochs

    blocks.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 64, "downsamplings": 7, "lambda_l1": 1000.0, "dropout": 0.5}
    )
    blocks.pix2pix.train = training(585_000, 32, 2e-4, selection="mse")  # 200 epochs of 2,925
    # the rate falls step by step, where the original falls once an epoch
    blocks.pix2pix.train.update(schedule="half_linear", b1=0.5)

    # kernels start at variance 1 / fan-in and the last at 0, where the original's are PyTorch's
    blocks.irsde = ConfigDict({"kind": "irsde", "width": 64, "depth": 4})
    blocks.irsde.train = training(468_000, 8, 1e-4)  # 40 epochs of 11,700 steps
    blocks.irsde.train.update(ema=0.999, b2=0.99, eval_batches=8)  # a validation draws samples


def mitigations(blocks: ConfigDict) -> None:
    """The three mitigations, on all reconstructors at the headline level.

    The paper does not say how long it fine-tunes: here one epoch of training patients (its code
    takes the validation split). The weight is chosen by validation patients.
    """
    fine_tuning = {"steps": 5_850, "batch_size": 16, "learning_rate": 1e-4}
    blocks.reweighting = mitigation("reweighting", **fine_tuning, cap=0.0)  # no cap
    blocks.eodd = mitigation(
        "equalised_odds",
        **fine_tuning,
        weights=LAMBDAS,
        # in the size of the reconstruction loss, as in the code. The divisor is the term's mean
        # over the first steps; by its own running mean, as there, the term could not shrink
        scale="loss",
    )
    # in the code alone, where both signs are reversed and only the first attribute is used
    blocks.adversarial = mitigation(
        "adversarial", **fine_tuning, weights=LAMBDAS, loss="correlation"
    )
