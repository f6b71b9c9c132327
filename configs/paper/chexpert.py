"""CheXpert as in the paper: 12 findings, photon counts 1e5, 1e4 and 3e3, 256 px, U-Net, Pix2Pix,
SDE, DenseNet121 and three mitigations; for accelerators.

    fairrecon study --config=chexpert --config.cohort.root=DIR/CheXpert-v1.0-small
    --config.diagnosers.findings.init=densenet121-imagenet.pth --workdir=runs/chexpert

The steps are the paper's epochs over the 191,027 frontal images split 70/10/20 by patient, its
training part cut again 70/30. Where a field departs from the paper, or the paper from its published
code, a comment says so. Without `init` the classifier starts from random weights, the paper's from
those of ImageNet. That code finds thresholds on test images,
--config.assess.threshold_rule=published --config.assess.roc_points=thinned, and the PSNR after a
stretch over the batch, for which there is no choice.
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
    # tasks: the 12 findings, by default; images are stretched to [0, 1] each
    c.cohort.uncertainty = "ignore"  # uncertain labels are unknown, as of a masked loss
    c.cohort.race = ("six", "pooled")  # the paper's groups, and those of its figure 17
    c.cohort.age_cut = 62  # years
    c.cohort.age_cut_side = "under"  # 62 itself is young, as published
    c.splits.fractions = (0.7, 0.1, 0.2)  # training, validation, test, by patient
    c.splits.diagnosis_fraction = 0.3  # of the training patients, for the classifier alone

    c.degradation.kind = "xray_low_dose"  # bow-tie and noise as published, by default
    c.degradation.levels = (1e5, 1e4, 3e3)  # photon counts
    c.degradation.headline_level = 1e4
    c.degradation.angles = 0  # over 180 degrees: as many as pixels, 256
    c.degradation.storage = "float"  # "jpeg" in the code: 8-bit files between the steps

    reconstructors(c.reconstructors)
    findings = ConfigDict(
        {
            "kind": "classifier",
            "backbone": "densenet121",
            "input_size": 224,
            "input_low": -1024.0,
            "input_high": 1024.0,
            "rotate": 45.0,  # degrees
            "shift": 0.15,
            "zoom": 0.15,
            "border": 0.5,  # grey, as TorchXRayVision's 0 in its -1024 to 1024
            "rare_first": True,  # weights of the tasks, as TorchXRayVision trains
            "loss_mean": "tasks",  # of each task for itself, then their sum, as there
            "init": "",  # a file of ImageNet weights
        }
    )
    # 50 epochs of 1,254 steps (the paper gives no batch size); the best by AUROC is kept, as
    # TorchXRayVision does
    findings.train = training(62_700, 32, 1e-3, selection="auroc")
    findings.train.update(
        schedule="constant", optimizer="amsgrad", weight_decay=1e-5, eval_every=1_254
    )
    c.diagnosers.findings = findings
    mitigations(c.mitigations)
    c.tandem.batch_size = 64
    c.tandem.lpips = ""  # a file of weights, for the LPIPS of table 7 and figure 18
    c.assess.replicates = 1000  # of the published bootstrap
    return c


def reconstructors(blocks: ConfigDict) -> None:
    """U-Net, Pix2Pix and SDE."""
    # cut off to [0, 1], where the code leaves images as they are: finish = "as_is"; it also
    # evaluates this U-Net with a sigmoid that it was trained without: another block of
    # kind = "mse", weights_of = "unet", output = "sigmoid"
    blocks.unet = ConfigDict({"kind": "mse", "width": 64, "depth": 4, "start": "torch"})
    blocks.unet.train = training(117_000, 16, 1e-3, selection="mse")  # 20 epochs of 5,850 steps
    blocks.unet.train.update(schedule="constant", eval_every=5_850, patience=5)  # epochs

    blocks.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 64, "downsamplings": 7, "lambda_l1": 1000.0, "dropout": 0.5}
    )
    blocks.pix2pix.train = training(585_000, 32, 2e-4, selection="mse")  # 200 epochs of 2,925
    # the rate falls once an epoch; the paper does not say which weights it keeps, here the best by
    # validation patients
    blocks.pix2pix.train.update(schedule="half_linear", schedule_every=2_925, b1=0.5)

    # 100 steps, a cosine of theta, noise 10/255, eps 0.005 and L1 by default; images are cut off to
    # [0, 1], where the code stretches each: finish = "min_max"
    blocks.irsde = ConfigDict({"kind": "irsde", "width": 64, "depth": 4, "start": "torch"})
    blocks.irsde.train = training(468_000, 8, 1e-4)  # 40 epochs of 11,700 steps
    # the paper gives no decay of its average, and its code's configurations load the last weights:
    # ema = 0.0; a validation draws samples, hence few batches
    blocks.irsde.train.update(schedule="cosine", ema=0.999, b2=0.99, eval_batches=8)


def mitigations(blocks: ConfigDict) -> None:
    """The three mitigations, on all reconstructors at the headline level.

    The paper does not say how long it fine-tunes: here one epoch of training patients (its code
    takes the validation patients: tuned_on = "val"). The weight is chosen by validation patients.
    All are about sex, age and race in six groups.
    """
    fine_tuning = {"steps": 5_850, "batch_size": 16, "learning_rate": 1e-4}
    blocks.reweighting = mitigation("reweighting", **fine_tuning, cap=0.0)  # no cap
    blocks.eodd = mitigation(
        "equalised_odds",
        **fine_tuning,
        weights=LAMBDAS,
        temperature=0.3,
        threshold=0.5,  # a running mean of each batch's in the code: threshold = "running"
        scale="loss",  # in the size of the reconstruction loss, as in the code
        # the term's mean over the first steps; by its own running mean, as in the code, the term
        # could not shrink: divisor = "running"
        divisor="first",
        # rates of about ten batches: one has no positive of most groups, which reads 0 in the code:
        # decay = 0.0, min_count = 0.0
        decay=0.9,
    )
    # in the code alone, where both signs are reversed and only the first attribute is used; no
    # weights are published, these are the other term's
    blocks.adversarial = mitigation(
        "adversarial", **fine_tuning, weights=LAMBDAS, loss="correlation"
    )
    for block in blocks.values():
        # changes no number: the SDE passes its network twice, at 3.4 GB an image and pass, which
        # would not fit a card of 80 GB
        block.train.remat = True
