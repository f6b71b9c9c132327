"""The headline level of `configs/nih_128.py` with U-Net and Pix2Pix trained under three seeds, for
verdicts on the methods instead of on one training of each.

    fairrecon study --config=configs/nih_128_seeds.py --config.cohort.root=DIR/nih_chestxray14_128
    --workdir=runs/nih_128_seeds
"""

from ml_collections import ConfigDict

from configs import nih_128


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = nih_128.get_config()
    c.degradation.levels = (nih_128.HEADLINE,)
    del c.reconstructors.irsde
    c.mitigations = ConfigDict()
    c.seeds = (0, 1, 2)
    return c
