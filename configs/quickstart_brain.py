"""Phantom FLAIR brains at 64 px in the UCSF-PDGM layout: tumour segmentation at acceleration 10, a
planted harm; minutes on a 2-core CPU.

    fairrecon study --config=configs/quickstart_brain.py --workdir=runs/quickstart/brain

The lesions of women are drawn fainter: well outlined on the originals, less so after undersampling
and reconstruction.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.phantom.kind = "brain"
    c.phantom.patients = 400
    c.phantom.size = 64  # pixels
    c.phantom.slices = 8  # axial slices of a volume
    c.phantom.workers = 2  # drawing processes
    c.phantom.lesion_contrast = {"sex": {"Female": 0.3, "Male": 1.0}}  # the planted harm
    c.cohort.name = "ucsf_pdgm"
    c.cohort.image_size = 64  # pixels
    c.cohort.tasks = ("tumor",)
    c.cohort.attributes = ("sex", "age")
    c.cohort.evaluate_slices = (0.25, 0.75)  # fractions of the volume
    c.splits.fractions = (0.4, 0.15, 0.45)  # train, validation, test patients

    c.degradation.kind = "mri_radial"
    c.degradation.levels = (10.0,)  # acceleration factors
    c.degradation.headline_level = 10.0

    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 8, "depth": 2})
    c.reconstructors.unet.train = training(steps=160, batch_size=16, learning_rate=3e-3)
    c.reconstructors.pix2pix = ConfigDict(
        {
            "kind": "pix2pix",
            "width": 8,
            "downsamplings": 4,
            "disc_width": 8,
            "disc_layers": 2,
            "lambda_l1": 1000.0,
        }
    )
    c.reconstructors.pix2pix.train = training(steps=160, batch_size=16, learning_rate=5e-3)
    c.reconstructors.pix2pix.train.b1 = 0.5
    c.reconstructors.irsde = ConfigDict(
        {
            "kind": "irsde",
            "width": 12,
            "depth": 2,
            "attention": False,
            "patch": 2,
            "precondition": (0.06, 0.02),
        }
    )
    c.reconstructors.irsde.preset = "ode2_5"  # 5 evaluations of the network instead of 100
    c.reconstructors.irsde.train = training(200, 16, 3e-3, selection="")
    c.reconstructors.irsde.train.update(ema=0.98, warmup_steps=50, eval_every=0)

    c.diagnosers.tumor = ConfigDict(
        {"kind": "segmenter", "width": 8, "depth": 3, "norm": "batch", "flip": True}
    )
    c.diagnosers.tumor.train = training(500, 16, 4e-3, selection="dice")
    c.tandem.batch_size = 64
    c.assess.permutations = 4999
    c.report.pdf = False
    return c
