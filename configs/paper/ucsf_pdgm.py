"""UCSF-PDGM as in the paper: grade, type and tumour at acceleration 4, 8 and 16, 256 px, U-Net,
Pix2Pix, SDE, ResNet50, a U-Net on ResNet34 and three mitigations; for accelerators.

    fairrecon study --config=ucsf_pdgm --config.cohort.root=DIR
    --config.diagnosers.grade.init=resnet50-imagenet.pth --workdir=runs/ucsf_pdgm

(`init` alike for type, and a ResNet34 for tumor; without it they start from random weights, the
paper's from those of ImageNet.) The steps are the paper's epochs over all 155 slices of 346
training patients. Where a field departs from the paper, or the paper from its published code, a
comment says so. That code trains on slices 60 to 130 alone, --config.cohort.slices="(60, 130)",
and classifies with a ResNet18 on balanced classes, --config.diagnosers.grade.backbone=resnet18
--config.diagnosers.grade.balance=True.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation, study, training

LAMBDAS = (0.01, 0.316, 1.0, 3.16, 10.0)


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.cohort.name = "ucsf_pdgm"
    c.cohort.image_size = 256  # pixels
    c.cohort.slices = "all"  # stored and trained on; (60, 130) in the code
    c.cohort.evaluate_slices = (60, 130)  # counted from 0, both included
    c.cohort.age_cut = 58  # years
    c.cohort.age_cut_side = "under"  # 58 itself is young, as published
    c.cohort.mask_values = ()  # the whole tumour, as the paper says; its code: (1, 2)
    c.assess.empty_mask = "published"  # the paper does not say: as in its code

    c.degradation.kind = "mri_radial"
    c.degradation.levels = (4.0, 8.0, 16.0)  # acceleration factors
    c.degradation.headline_level = 8.0

    reconstructors(c.reconstructors)
    diagnosers(c.diagnosers)
    mitigations(c.mitigations)
    c.tandem.batch_size = 32
    return c


def reconstructors(blocks: ConfigDict) -> None:
    """U-Net, Pix2Pix and SDE."""
    blocks.unet = ConfigDict({"kind": "mse", "width": 64, "depth": 4})
    blocks.unet.train = training(67_000, 16, 1e-3, selection="mse")  # 20 epochs of 3,350 steps
    blocks.unet.train.update(schedule="constant", eval_every=3_350, patience=5)  # epochs

    blocks.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 64, "downsamplings": 7, "lambda_l1": 1000.0, "dropout": 0.5}
    )
    blocks.pix2pix.train = training(335_000, 32, 2e-4, selection="mse")  # 200 epochs of 1,675
    # the rate falls step by step, where the original falls once an epoch
    blocks.pix2pix.train.update(schedule="half_linear", b1=0.5)

    # kernels start at variance 1 / fan-in and the last at 0, where the original's are PyTorch's
    blocks.irsde = ConfigDict({"kind": "irsde", "width": 64, "depth": 4})
    blocks.irsde.train = training(2_011_000, 8, 1e-4)  # 300 epochs of 6,704 steps
    blocks.irsde.train.update(ema=0.999, b2=0.99, eval_batches=8)  # a validation draws samples


def diagnosers(blocks: ConfigDict) -> None:
    """Grade, type and tumour, each with a file of ImageNet weights as `init`."""
    for task in ("grade", "type"):
        blocks[task] = ConfigDict(
            {
                "kind": "classifier",
                "tasks": (task,),
                "backbone": "resnet50",  # "resnet18" in the code
                "hidden": (512, 256),
                "balance": False,  # True in the code: both classes drawn equally often
                "init": "",
            }
        )
        blocks[task].train = training(67_000, 16, 1e-4)  # 20 epochs of 3,350 steps
        blocks[task].train.update(schedule="constant", eval_every=3_350)
    # one sigmoid, where the code applies another in the Dice loss; Dice pooled over the batch
    blocks.tumor = ConfigDict({"kind": "segmenter", "backbone": "resnet34_unet", "init": ""})
    blocks.tumor.train = training(134_000, 8, 1e-3, selection="dice")  # 20 epochs of 6,700 steps
    blocks.tumor.train.update(schedule="constant", eval_every=6_700)


def mitigations(blocks: ConfigDict) -> None:
    """The three mitigations, on all reconstructors at the headline level.

    The paper does not say how long it fine-tunes: here one epoch of training patients (its code
    takes the validation split). The weight is chosen by validation patients.
    """
    fine_tuning = {"steps": 3_350, "batch_size": 16, "learning_rate": 1e-4}
    # no cap; by age group, where the code crosses the exact age
    blocks.reweighting = mitigation("reweighting", **fine_tuning, cap=0.0)
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
