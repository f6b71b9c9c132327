"""`configs/nih_128.py` with another diagnoser: a narrow ResNet-18 from scratch, not shown to be
worse on originals (at chance for pneumothorax), and less disturbed by a reconstruction.

    fairrecon study --config=configs/nih_128_resnet.py
    --config.cohort.root=DIR/nih_chestxray14_128 --workdir=runs/nih_128_resnet

`reconstructors/` and `stages/train__*` of the other study may be copied: reconstructors do not
depend on the diagnoser. The training of the diagnoser takes 20 minutes of processor time.
"""

from ml_collections import ConfigDict

from fairrecon_jax.defaults import training
from fairrecon_jax.study.bundled import configuration


def get_config() -> ConfigDict:
    """The study's configuration."""
    c = configuration("nih_128")
    known = c.diagnosers.findings
    kept = {name: known[name] for name in ("kind", "flip", "shift", "gain", "zoom", "rotate")}
    findings = ConfigDict({**kept, "backbone": "resnet18", "width": 32})
    findings.positive_weight = known.positive_weight
    findings.train = training(3000, 32, 1e-3, selection="")
    findings.train.update(
        optimizer="adamw", weight_decay=0.1, warmup_steps=100, ema=0.998, eval_every=0
    )
    c.diagnosers.findings = findings
    # as assessed in docs/results.md; () for all three
    c.mitigations.reweighting.reconstructors = ("unet", "pix2pix")
    c.mitigations.adversarial.reconstructors = ("unet", "pix2pix")
    c.mitigations.group_dro.reconstructors = ("unet",)
    return c
