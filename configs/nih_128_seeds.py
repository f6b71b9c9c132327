"""Trainings of `configs/nih_128.py` under three seeds: U-Net and Pix2Pix at the headline count.

    fairrecon study --config=configs/nih_128_seeds.py
    --config.cohort.root=DIR/nih_chestxray14_128 --workdir=runs/nih_128_seeds

The diagnoser is that of `configs/nih_128.py`: `diagnosers/` and `stages/train__findings.json` of
its work directory may be copied. Half an hour of processor time more. See docs/howto/seeds.md.
"""

from ml_collections import ConfigDict

from fairrecon_jax.study.bundled import configuration


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = configuration("nih_128")
    c.degradation.levels = (c.degradation.headline_level,)
    del c.reconstructors.irsde
    c.mitigations = ConfigDict()
    c.seeds = (0, 1, 2)
    return c
