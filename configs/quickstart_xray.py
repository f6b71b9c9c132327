"""Phantom radiographs at 64 px in the CheXpert layout: two findings, one photon count, a planted
harm; minutes on a 2-core CPU.

    fairrecon study --config=configs/quickstart_xray.py --workdir=runs/quickstart/xray

The lesions of women are drawn fainter: well visible on the originals, lost after low dose and
reconstruction.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.phantom.kind = "xray"
    c.phantom.patients = 1000
    c.phantom.size = 64  # pixels
    c.phantom.workers = 2  # drawing processes
    c.phantom.lesion_contrast = {"sex": {"Female": 0.55, "Male": 1.0}}  # the planted harm
    c.phantom.contrast_mean = 2.3
    c.phantom.prevalence = {"Cardiomegaly": 0.3, "Consolidation": 0.4}
    c.cohort.name = "chexpert"
    c.cohort.image_size = 64  # pixels
    c.cohort.tasks = ("cardiomegaly", "consolidation")
    c.cohort.attributes = ("sex", "age")
    c.splits.fractions = (0.4, 0.15, 0.45)  # train, validation, test patients

    c.degradation.kind = "xray_low_dose"
    c.degradation.levels = (1e4,)  # photon counts
    c.degradation.headline_level = 1e4

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
            "precondition": (0.15, 0.02),
        }
    )
    c.reconstructors.irsde.preset = "ode2_5"  # 5 evaluations of the network instead of 100
    c.reconstructors.irsde.train = training(200, 16, 3e-3, selection="")
    c.reconstructors.irsde.train.update(ema=0.98, warmup_steps=50, eval_every=0)

    c.diagnosers.findings = ConfigDict(
        {"kind": "classifier", "backbone": "resnet18", "width": 12, "shift": 0.05}
    )
    c.diagnosers.findings.train = training(steps=160, batch_size=32, learning_rate=2e-3)
    c.mitigations.eodd = mitigation(
        "equalised_odds", 40, 32, 3e-4, weight=0.1, attributes=("sex",), reconstructors=("unet",)
    )
    c.tandem.batch_size = 64
    c.assess.permutations = 4999
    c.report.pdf = False
    return c
