"""Phantom FLAIR brains at 64 px in the UCSF-PDGM layout: tumour segmentation, grade and type at
acceleration 8; minutes on a 2-core CPU.

fairrecon study --config=configs/phantom_brain.py --workdir=runs/phantom_brain
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.phantom.kind = "brain"
    c.phantom.patients = 120
    c.phantom.size = 64  # pixels
    c.phantom.slices = 16  # axial slices of a volume
    c.phantom.workers = 2  # drawing processes
    c.phantom.lesion_contrast = {"sex": {"Female": 0.6, "Male": 1.0}}  # the planted gap
    c.cohort.name = "ucsf_pdgm"
    c.cohort.image_size = 64  # pixels
    c.cohort.evaluate_slices = (0.25, 0.75)  # fractions of the volume
    c.splits.fractions = (0.4, 0.2, 0.4)  # train, validation, test patients

    c.degradation.kind = "mri_radial"
    c.degradation.levels = (8.0,)  # acceleration factors
    c.degradation.headline_level = 8.0

    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 8, "depth": 3})
    c.reconstructors.unet.train = training(steps=300, batch_size=16, learning_rate=2e-3)
    c.reconstructors.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 16, "downsamplings": 4, "disc_width": 16, "lambda_l1": 1000.0}
    )
    c.reconstructors.pix2pix.train = training(steps=300, batch_size=16, learning_rate=5e-3)
    c.reconstructors.pix2pix.train.b1 = 0.5

    c.reconstructors.irsde = ConfigDict(
        {
            "kind": "irsde",
            "width": 16,
            "depth": 2,
            "attention": False,
            "patch": 2,
            "precondition": (0.06, 0.02),
        }
    )
    c.reconstructors.irsde.preset = "ode2_10"  # 10 evaluations of the network instead of 100
    c.reconstructors.irsde.train = training(
        steps=400, batch_size=16, learning_rate=2e-3, selection="psnr"
    )
    c.reconstructors.irsde.train.update(
        ema=0.98, warmup_steps=50, eval_batches=2
    )  # a validation draws samples

    c.diagnosers.tumor = ConfigDict(
        {"kind": "segmenter", "width": 8, "depth": 3, "norm": "batch", "flip": True}
    )
    c.diagnosers.tumor.train = training(300, 16, 2e-3, selection="dice")
    c.diagnosers.grade_type = ConfigDict(
        {"kind": "classifier", "backbone": "resnet18", "width": 16, "flip": True}
    )
    c.diagnosers.grade_type.train = training(steps=200, batch_size=32, learning_rate=1e-3)
    c.tandem.batch_size = 64
    return c
