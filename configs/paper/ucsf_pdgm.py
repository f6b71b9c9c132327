"""UCSF-PDGM as in the paper: grade, type and tumour at acceleration 4, 8 and 16, 256 px, full U-Net
and ResNet50; for accelerators.

    fairrecon study --config=configs/paper/ucsf_pdgm.py --config.cohort.root=DIR
    --workdir=runs/ucsf_pdgm

The steps below are the paper's epochs over all 155 slices of 346 training patients. The paper's
diagnosers start from ImageNet weights, this configuration from random ones.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "ucsf_pdgm"
    c.cohort.image_size = 256  # pixels
    c.cohort.slices = "all"  # stored and trained on
    c.cohort.evaluate_slices = (60, 130)  # counted from 0, both included
    c.cohort.age_cut = 58  # years
    c.cohort.age_cut_side = "under"  # 58 itself is young, as published
    c.cohort.mask_values = ()  # the whole tumour, as the paper says; its code: (1, 2)
    c.assess.empty_mask = "published"  # the paper does not say: as in its code

    c.degradation.kind = "mri_radial"
    c.degradation.levels = (4.0, 8.0, 16.0)  # acceleration factors
    c.degradation.headline_level = 8.0

    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 64, "depth": 4})
    c.reconstructors.unet.train = training(
        steps=67_000, batch_size=16, learning_rate=1e-3, selection="mse"
    )  # 20 epochs
    c.reconstructors.unet.train.schedule = "constant"
    c.reconstructors.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 64, "downsamplings": 7, "lambda_l1": 1000.0}
    )
    c.reconstructors.pix2pix.train = training(
        steps=335_000, batch_size=32, learning_rate=2e-4, selection="mse"
    )  # 200 epochs
    c.reconstructors.pix2pix.train.schedule = "constant"
    c.reconstructors.pix2pix.train.b1 = 0.5
    c.reconstructors.irsde = ConfigDict({"kind": "irsde", "width": 64, "depth": 4})
    c.reconstructors.irsde.train = training(
        steps=2_011_000, batch_size=8, learning_rate=1e-4
    )  # 300 epochs
    c.reconstructors.irsde.train.ema = 0.999
    c.reconstructors.irsde.train.eval_batches = 8  # a validation draws samples

    for task in ("grade", "type"):
        c.diagnosers[task] = ConfigDict(
            {"kind": "classifier", "tasks": (task,), "backbone": "resnet50", "hidden": (512, 256)}
        )
        c.diagnosers[task].train = training(
            steps=67_000, batch_size=16, learning_rate=1e-4
        )  # 20 epochs
        c.diagnosers[task].train.schedule = "constant"
    c.diagnosers.tumor = ConfigDict({"kind": "segmenter", "width": 64, "norm": "batch"})
    c.diagnosers.tumor.train = training(
        steps=134_000, batch_size=8, learning_rate=1e-3, selection="dice", mode="max"
    )  # 20 epochs
    c.diagnosers.tumor.train.schedule = "constant"
    c.tandem.batch_size = 32
    return c
