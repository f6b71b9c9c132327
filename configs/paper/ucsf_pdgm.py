"""UCSF-PDGM as in the paper: grade, type and tumour at acceleration 4, 8 and 16, 256 px, U-Net,
Pix2Pix, SDE, ResNet50, a U-Net on ResNet34 and three mitigations; for accelerators.

    fairrecon study --config=ucsf_pdgm --config.cohort.root=DIR
    --config.diagnosers.grade.init=resnet50-imagenet.pth --workdir=runs/ucsf_pdgm

(`init` alike for type, and a ResNet34 for tumor; without it they start from random weights, the
paper's from those of ImageNet.) The steps are the paper's epochs over all 155 slices of 346 exams,
seven tenths of the 495 patients. Where a field departs from the paper, or the paper from its
published code, a comment says so. That code trains on slices 60 to 130 alone,
--config.cohort.slices="(60, 130)", and classifies with a ResNet18 on balanced classes,
--config.diagnosers.grade.backbone=resnet18 --config.diagnosers.grade.balance=True.
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
    c.splits.fractions = (0.7, 0.1, 0.2)  # training, validation, test, by patient
    c.splits.diagnosis_fraction = 0.0  # the same training patients for all networks
    c.assess.empty_mask = "published"  # the paper does not say: as in its code
    c.assess.replicates = 1000  # of the published bootstrap

    # the magnitude of the zero-filled image, where the code keeps the real part: magnitude = "real"
    c.degradation.kind = "mri_radial"
    # accelerations as achieved (148, 70 and 34 rays), where the code counts rays, 140 for its
    # 4 and 60 for its 8, which are 4.2 and 9.3: mask_by = "rays" and levels of rays
    c.degradation.levels = (4.0, 8.0, 16.0)
    c.degradation.headline_level = 8.0

    reconstructors(c.reconstructors)
    diagnosers(c.diagnosers)
    mitigations(c.mitigations)
    c.tandem.batch_size = 32
    c.tandem.lpips = ""  # a file of weights, for the LPIPS of table 8 and figure 19
    return c


def reconstructors(blocks: ConfigDict) -> None:
    """U-Net, Pix2Pix and SDE."""
    # cut off to [0, 1], where the code leaves images as they are: finish = "as_is"
    blocks.unet = ConfigDict({"kind": "mse", "width": 64, "depth": 4, "start": "torch"})
    blocks.unet.train = training(67_000, 16, 1e-3, selection="mse")  # 20 epochs of 3,350 steps
    blocks.unet.train.update(schedule="constant", eval_every=3_350, patience=5)  # epochs

    blocks.pix2pix = ConfigDict(
        {"kind": "pix2pix", "width": 64, "downsamplings": 7, "lambda_l1": 1000.0, "dropout": 0.5}
    )
    blocks.pix2pix.train = training(335_000, 32, 2e-4, selection="mse")  # 200 epochs of 1,675
    # the rate falls once an epoch; the paper does not say which weights it keeps, here the best by
    # validation patients
    blocks.pix2pix.train.update(schedule="half_linear", schedule_every=1_675, b1=0.5)

    # 100 steps, a cosine of theta, noise 10/255, eps 0.005 and L1 by default; images are cut off to
    # [0, 1], where the code stretches each: finish = "min_max"
    blocks.irsde = ConfigDict({"kind": "irsde", "width": 64, "depth": 4, "start": "torch"})
    blocks.irsde.train = training(2_011_000, 8, 1e-4)  # 300 epochs of 6,704 steps
    # the paper gives no decay of its average, and its code's configurations load the last weights:
    # ema = 0.0; a validation draws samples, hence few batches
    blocks.irsde.train.update(schedule="cosine", ema=0.999, b2=0.99, eval_batches=8)


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
                "init": "",  # its first kernel's mean over RGB
            }
        )
        # 20 epochs of 3,350 steps; which weights are kept the paper does not say, here the best
        blocks[task].train = training(67_000, 16, 1e-4)
        blocks[task].train.update(schedule="constant", eval_every=3_350)
    # one sigmoid, where the code applies another in the Dice loss; Dice pooled over the batch, with
    # one pixel more in both of its sums, against empty batches
    blocks.tumor = ConfigDict(
        {"kind": "segmenter", "backbone": "resnet34_unet", "dice_weight": 0.5, "init": ""}
    )
    blocks.tumor.train = training(134_000, 8, 1e-3, selection="dice")  # 20 epochs of 6,700 steps
    blocks.tumor.train.update(schedule="constant", eval_every=6_700)


def mitigations(blocks: ConfigDict) -> None:
    """The three mitigations, on all reconstructors at the headline level.

    The paper does not say how long it fine-tunes: here one epoch of training patients (its code
    takes the validation patients: tuned_on = "val"). The weight is chosen by validation patients.
    """
    fine_tuning = {"steps": 3_350, "batch_size": 16, "learning_rate": 1e-4}
    # no cap; by age group, where the code crosses the exact age
    blocks.reweighting = mitigation("reweighting", **fine_tuning, cap=0.0)
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
