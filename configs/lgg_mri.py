"""LGG brain MRI (kaggle_3m): undersampled FLAIR, U-Net, tumour segmentation and grade, at 128 px
and three accelerations.

    fairrecon study --config=configs/lgg_mri.py --config.cohort.root=DIR/kaggle_3m
    --workdir=runs/lgg

With 40 patients the split is 50/20/30 by patient. The U-Net's width 16 and the step counts suit a
2-core CPU; expected there: see docs/results.md. With the full set of 110 patients use
`--config.splits.fractions="(0.7, 0.1, 0.2)"`.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training


def irsde() -> ConfigDict:
    """The diffusion model."""
    block = ConfigDict(
        {
            "kind": "irsde",
            "width": 16,
            "depth": 3,
            "attention": False,
            "patch": 2,
            "precondition": (0.06, 0.02),
        }
    )
    block.train = training(steps=3000, batch_size=8, learning_rate=1e-3, selection="psnr")
    block.train.update(ema=0.995, warmup_steps=100)
    block.train.eval_batches = 2  # of 32 examples: a validation draws samples
    block.levels = (8.0,)  # () for all
    return block


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "lgg_mri"
    c.cohort.image_size = 128  # pixels
    c.splits.fractions = (0.5, 0.2, 0.3)  # train, validation, test patients

    c.degradation.kind = "mri_radial"
    c.degradation.levels = (4.0, 8.0, 16.0)  # acceleration factors
    c.degradation.headline_level = 8.0

    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 16, "depth": 4})
    c.reconstructors.unet.train = training(steps=1000, batch_size=8, learning_rate=1e-3)
    c.reconstructors.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 32, "downsamplings": 7, "disc_width": 32, "lambda_l1": 1000.0}
    )
    c.reconstructors.pix2pix.train = training(steps=1500, batch_size=8, learning_rate=2e-3)
    c.reconstructors.pix2pix.train.b1 = 0.5
    c.reconstructors.pix2pix.levels = (8.0,)  # () for all

    c.reconstructors.irsde = irsde()
    c.reconstructors.irsde_ode2_10 = ConfigDict(
        {"weights_of": "irsde", "preset": "ode2_10"}
    )  # 10 evaluations instead of 100

    c.diagnosers.tumor = ConfigDict(
        {
            "kind": "segmenter",
            "width": 16,
            "norm": "batch",
            "flip": True,
            "shift": 0.05,
            "gain": 0.2,
        }
    )
    c.diagnosers.tumor.train = training(800, 8, 1e-3, selection="dice")

    c.diagnosers.grade = ConfigDict(
        {
            "kind": "classifier",
            "backbone": "resnet18",
            "hidden": (512, 256),
            "flip": True,
            "shift": 0.05,
            "gain": 0.2,
        }
    )
    c.diagnosers.grade.train = training(steps=250, batch_size=16, learning_rate=3e-4)
    c.diagnosers.grade.train.eval_every = 50

    c.mitigations.eodd = mitigation(
        "equalised_odds", 200, 16, 3e-4, weight=0.1, attributes=("sex",), reconstructors=("unet",)
    )
    return c
