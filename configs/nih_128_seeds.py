"""Trainings of `configs/nih_128.py` under three seeds: U-Net and Pix2Pix at the headline count.

    fairrecon study --config=configs/nih_128_seeds.py
    --config.cohort.root=DIR/nih_chestxray14_128 --workdir=runs/nih_128_seeds

The diagnoser is that of `configs/nih_128.py`: `diagnosers/` and `stages/train__findings.json` of
its work directory may be copied. Half an hour of processor time more. See docs/howto/seeds.md.
"""

from ml_collections import ConfigDict

from configs.nih_128 import HEADLINE
from configs.nih_128 import get_config as whole_study


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = whole_study()
    c.degradation.levels = (HEADLINE,)
    del c.reconstructors.irsde
    c.mitigations = ConfigDict()
    c.seeds = (0, 1, 2)
    return c
