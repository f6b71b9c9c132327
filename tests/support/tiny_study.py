"""A study that is done in seconds: phantom brains at 32 px, one U-Net, one segmenter."""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import study, training


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = study()
    c.phantom = ConfigDict({"kind": "brain", "patients": 24, "size": 32, "slices": 8})
    c.cohort.update(name="ucsf_pdgm", image_size=32, tasks=("tumor",), attributes=("sex",))
    c.cohort.evaluate_slices = (1, 5)
    c.splits.fractions = (0.4, 0.3, 0.3)
    c.degradation.update(kind="mri_radial", levels=(8.0,), headline_level=8.0)
    c.reconstructors.unet = ConfigDict({"kind": "mse", "width": 4, "depth": 1})
    c.reconstructors.unet.train = training(
        steps=2, batch_size=8, learning_rate=1e-3, selection="psnr", mode="max"
    )
    c.diagnosers.tumor = ConfigDict({"kind": "segmenter", "width": 4, "depth": 1})
    c.diagnosers.tumor.train = training(
        steps=2, batch_size=8, learning_rate=1e-2, selection="dice", mode="max"
    )
    c.tandem.batch_size = 16
    c.assess.update(replicates=20, permutations=19, null_draws=10)
    c.report.update(examples=1, dpi=50, pdf=False)
    return c
