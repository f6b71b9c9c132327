"""NIH ChestX-ray14: low-dose chest X-rays, U-Net, 14 findings and "any finding", at 128 px and
three photon counts.

    fairrecon study --config=configs/nih_chestxray14.py --config.cohort.root=DIR/nih_chestxray14
    --workdir=runs/nih

The settings suit a sample of a few hundred patients on a 2-core CPU (split 50/20/30 by patient).
For the full data set use `--config.splits.fractions="(0.7, 0.1, 0.2)"`, 256 px, width 64 and more
steps on an accelerator.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training

FINDINGS = (
    "atelectasis",
    "cardiomegaly",
    "effusion",
    "infiltration",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural_thickening",
    "hernia",
)


def irsde() -> ConfigDict:
    """The diffusion model."""
    block = ConfigDict(
        {
            "kind": "irsde",
            "width": 16,
            "depth": 4,
            "attention": False,
            "patch": 2,
            "precondition": (0.15, 0.02),
        }
    )
    block.time_power = 2.0  # more late times: the bow-tie has to be undone from the degraded image
    block.augment = ConfigDict({"flip": True, "shift": 0.05})  # few patients, many steps
    block.train = training(steps=4500, batch_size=8, learning_rate=1e-3, selection="psnr")
    block.train.update(ema=0.997, warmup_steps=200, clip_norm=1.0)
    block.train.eval_batches = 2  # of 32 examples: a validation draws samples
    block.levels = (1e4,)  # () for all
    return block


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "nih_chestxray14"
    c.cohort.image_size = 128  # pixels
    c.cohort.tasks = (*FINDINGS, "any_finding")
    c.splits.fractions = (0.5, 0.2, 0.3)  # train, validation, test patients

    c.degradation.kind = "xray_low_dose"
    c.degradation.levels = (1e5, 1e4, 3e3)  # photon counts
    c.degradation.headline_level = 1e4

    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 16, "depth": 4})
    c.reconstructors.unet.train = training(steps=800, batch_size=8, learning_rate=1e-3)
    c.reconstructors.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 32, "downsamplings": 7, "disc_width": 32, "lambda_l1": 1000.0}
    )
    c.reconstructors.pix2pix.train = training(steps=750, batch_size=8, learning_rate=2e-3)
    c.reconstructors.pix2pix.train.b1 = 0.5
    c.reconstructors.pix2pix.levels = (1e4,)  # () for all

    c.reconstructors.irsde = irsde()
    c.reconstructors.irsde_ode2_10 = ConfigDict(
        {"weights_of": "irsde", "preset": "ode2_10"}
    )  # 10 evaluations instead of 100

    c.diagnosers.findings = ConfigDict(
        {
            "kind": "classifier",
            "backbone": "resnet18",
            "hidden": (512, 256),
            "shift": 0.05,
            "gain": 0.2,
        }
    )
    c.diagnosers.findings.train = training(steps=250, batch_size=16, learning_rate=3e-4)
    c.diagnosers.findings.train.eval_every = 50

    c.mitigations.eodd = mitigation(
        "equalised_odds", 200, 16, 3e-4, weight=0.1, attributes=("sex",), reconstructors=("unet",)
    )
    return c
