"""Which PyTorch key holds which Flax parameter, for the layouts in which weights of these networks
are published.

Every function maps a module path of the Flax network, e.g. ("down0", "conv1"), to the stem of the
PyTorch key, e.g. "d1.conv.conv1".
"""

from __future__ import annotations

import re

ModulePath = tuple[str, ...]

UNET_LAYOUTS: dict[str, tuple[str, bool]] = {
    "d1.": ("paper", True),
    "inc.double_conv.": ("double_conv", False),
    "encoder1.enc1": ("encoder", True),
}
"""U-Net layouts by the start of their first keys: name, and whether the decoder joins (upsampled,
skip) instead of (skip, upsampled).

"paper": d1.conv.conv1, b.conv1, u1.up, u1.conv.conv1, outputs; norm1 and norm2 beside conv1 and
conv2 where there is a normalisation. "double_conv": inc.double_conv.0,
down1.maxpool_conv.1.double_conv.0, up1.up, up1.conv.double_conv.0, outc.conv. "encoder":
encoder1.enc1conv1, bottleneck.bottleneckconv1, upconv4, decoder4.dec4conv1, conv.
"""


def unet_key(path: ModulePath, layout: str, depth: int, normalised: bool) -> str:
    """The key stem of a `UNet` module.

    Args:
      path: module path; normalisations end in "group" or "batch" and share the key of their parent.
      layout: name of a layout in `UNET_LAYOUTS`.
      depth: the network's number of halvings.
      normalised: whether a normalisation follows each convolution.
    """
    block, part = path[0], path[1] if len(path) > 1 else ""
    stage = re.fullmatch(r"(down|upconv|up)(\d+)", block)
    level = int(stage.group(2)) if stage else depth
    kind = stage.group(1) if stage else block
    # Layouts count from 1; the way up is counted from the bottom in two of them.
    up, n = depth - level, level + 1
    stems = {
        "paper": {
            "down": f"d{n}.conv",
            "bottom": "b",
            "up": f"u{up}.conv",
            "upconv": f"u{up}.up",
            "head": "outputs",
        },
        "encoder": {
            "down": f"encoder{n}.enc{n}",
            "bottom": "bottleneck.bottleneck",
            "up": f"decoder{n}.dec{n}",
            "upconv": f"upconv{n}",
            "head": "conv",
        },
        "double_conv": {
            "down": f"down{level}.maxpool_conv.1" if level else "inc",
            "bottom": f"down{depth}.maxpool_conv.1",
            "up": f"up{up}.conv",
            "upconv": f"up{up}.up",
            "head": "outc.conv",
        },
    }
    stem = stems[layout][kind]
    if not part:
        return stem
    if layout == "double_conv":
        # Positions in a sequence: without a normalisation the second convolution comes one earlier.
        position = {"conv1": 0, "norm1": 1, "conv2": 3 if normalised else 2, "norm2": 4}[part]
        return f"{stem}.double_conv.{position}"
    return f"{stem}{part}" if layout == "encoder" else f"{stem}.{part}"


def resnet_key(path: ModulePath, hidden: int) -> str:
    """The key stem of a `ResNet` module in torchvision's layout; a head with hidden layers is
    "fc_layers.0", "fc_layers.2" and so on.

    Args:
      path: module path.
      hidden: number of hidden layers of the head.
    """
    if path[0] == "head":
        # A sequence whose ReLUs take the odd places.
        return f"fc_layers.{2 * int(path[1].removeprefix('dense'))}" if hidden else "fc"
    stage = re.fullmatch(r"layer(\d)_(\d+)", path[0])
    if stage is None:
        return path[0]
    part = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}.get(
        path[1], path[1]
    )
    return f"layer{stage.group(1)}.{stage.group(2)}.{part}"


def densenet_key(path: ModulePath, hidden: int) -> str:
    """The key stem of a `DenseNet` module in torchvision's layout; a head with hidden layers is
    "classifier.0", "classifier.2" and so on.

    Args:
      path: module path.
      hidden: number of hidden layers of the head.
    """
    if path[0] == "head":
        return f"classifier.{2 * int(path[1].removeprefix('dense'))}" if hidden else "classifier"
    layer = re.fullmatch(r"block(\d)_layer(\d+)", path[0])
    if layer:
        return f"features.denseblock{layer.group(1)}.denselayer{layer.group(2)}.{path[1]}"
    transition = re.fullmatch(r"transition(\d)_(norm|conv)", path[0])
    return (
        f"features.transition{transition.group(1)}.{transition.group(2)}"
        if transition
        else f"features.{path[0]}"
    )


def alexnet_key(path: ModulePath) -> str:
    """The key stem of an `AlexNet` module, its trunk in torchvision's layout.

    Args:
      path: module path.
    """
    if path[0].startswith("conv"):
        # in a sequence with their ReLUs and poolings
        return f"features.{(0, 3, 6, 8, 10)[int(path[0].removeprefix('conv'))]}"
    return ".".join(path)


def resnet_unet_key(path: ModulePath) -> str:
    """The key stem of a `ResNetUNet` module in the layout of segmentation_models_pytorch:
    encoder.layer1.0.conv1, decoder.blocks.0.conv1.0 (its norm .1), segmentation_head.0.
    """
    if path[0] == "head":
        return "segmentation_head.0"
    part = re.fullmatch(r"decoder(\d)_(conv|bn)(\d)", path[0])
    if part:
        return f"decoder.blocks.{part[1]}.conv{part[3]}.{0 if part[2] == 'conv' else 1}"
    return f"encoder.{resnet_key(path, 0)}"


def residual_unet_key(path: ModulePath, depth: int, units: int) -> str:
    """The key stem of a `ResidualUNet` module in MONAI's layout: model.0 (down), model.1.submodule
    (what lies inside), model.2 (up), each inner level nested in the outer one.

    Args:
      path: module path.
      depth: the network's number of halvings.
      units: convolutions of a residual unit.
    """
    match = re.fullmatch(r"(down|upconv|up|bottom)(\d*)(?:_unit(\d))?(?:_(\w+))?", path[0])
    assert match is not None, path
    kind, unit, part = match[1], match[3], match[4] or "conv"
    level = int(match[2]) if match[2] else depth
    inside = "model" + ".1.submodule" * level
    place = {"down": ".0", "bottom": "", "upconv": ".2", "up": ".2"}[kind]
    if units and kind in ("up", "upconv"):
        place += ".0" if kind == "upconv" else ".1"
    stem = inside + place + (f".conv.unit{unit}" if units and unit else "")
    return (
        stem + {"conv": ".conv", "norm": ".adn.N", "act": ".adn.A", "residual": ".residual"}[part]
    )


def fastmri_unet_key(path: ModulePath, depth: int) -> str:
    """The key stem of a `FastMriUNet` module: down_sample_layers.0.layers.0 and .4, conv.layers.0,
    up_transpose_conv.0.layers.0, up_conv.0.layers.0, the last one up_conv.3.0.layers.0 and
    up_conv.3.1.

    Args:
      path: module path.
      depth: the network's number of halvings.
    """
    match = re.fullmatch(r"(down|upconv|up|bottom|head)(\d*)(?:_conv(\d))?", path[0])
    assert match is not None, path
    kind, level = match[1], int(match[2] or 0)
    # The way up is counted from the bottom.
    up = depth - 1 - level
    stems = {
        "down": f"down_sample_layers.{level}",
        "bottom": "conv",
        "upconv": f"up_transpose_conv.{up}",
        "up": f"up_conv.{up}" + ("" if level else ".0"),
        "head": f"up_conv.{depth - 1}.1",
    }
    if kind == "head":
        return stems[kind]
    return f"{stems[kind]}.layers.{4 if match[3] == '2' else 0}"


def generator_key(path: ModulePath, downsamplings: int) -> str:
    """The key stem of a `Pix2PixGenerator` module: blocks nested in each other, "model.model.0" to
    "model.model.1.model.3.(...).model.1".

    Args:
      path: module path.
      downsamplings: the network's number of halvings.
    """
    match = re.fullmatch(r"(down_norm|up_norm|down|upconv)(\d+)", path[0])
    assert match is not None, path
    kind, level = match.group(1), int(match.group(2))
    if level == 0:
        return f"model.model.{0 if kind == 'down' else 3}"
    inner = {"down": 1, "upconv": 3, "up_norm": 4}
    middle = {"down": 1, "down_norm": 2, "upconv": 5, "up_norm": 6}
    # The innermost block has no norm on its way down, which shifts the places behind it.
    place = (inner if level == downsamplings - 1 else middle)[kind]
    return "model.model.1" + ".model.3" * (level - 1) + f".model.{place}"


def discriminator_key(path: ModulePath, layers: int) -> str:
    """The key stem of a `PatchDiscriminator` module: "model.0", "model.2", "model.3" (norm),
    "model.5" and so on.

    Args:
      path: module path.
      layers: the network's number of halvings.
    """
    if path[0] == "conv_out":
        return f"model.{3 * layers + 2}"
    match = re.fullmatch(r"(conv|norm)(\d+)", path[0])
    assert match is not None, path
    layer = int(match.group(2))
    # Convolution, norm and leaky ReLU repeat every 3 places; the first layer has no norm.
    return f"model.{3 * layer - 1 + (match.group(1) == 'norm') if layer else 0}"


def conditional_unet_key(path: ModulePath, depth: int) -> str:
    """The key stem of a `ConditionalUNet` module in the published layout of the mean-reverting
    diffusion model.

    init_conv, time_mlp.1 and .3, downs.i and ups.i with the parts 0 and 1 (residual blocks), 2
    (attention) and 3 (convolution), mid_block1, mid_attn, mid_block2, final_res_block, final_conv.
    Blocks hold mlp.1, block1.proj, block2.proj and res_conv; attention holds fn.norm, fn.fn.to_qkv,
    fn.fn.to_out.0 and .1. ups.0 is the lowest level.

    Args:
      path: module path.
      depth: the network's number of levels.
    """
    parts = {"time": "mlp.1", "conv1": "block1.proj", "conv2": "block2.proj", "skip": "res_conv"}
    parts |= {
        "norm": "fn.norm",
        "to_qkv": "fn.fn.to_qkv",
        "to_out": "fn.fn.to_out.0",
        "norm_out": "fn.fn.to_out.1",
    }
    blocks = {
        "stem": "init_conv",
        "head": "final_conv",
        "last_block": "final_res_block",
        "middle_attention": "mid_attn",
    }
    blocks |= {"middle_block1": "mid_block1", "middle_block2": "mid_block2"}
    if path[0] == "time":
        return {"dense1": "time_mlp.1", "dense2": "time_mlp.3"}[path[1]]
    stage = re.fullmatch(r"(down|up)(\d+)_(\w+)", path[0])
    if stage:
        way, level = stage.group(1), int(stage.group(2))
        place = {
            "block1": "0",
            "block2": "1",
            "attention": "2",
            # Behind an upsampling, the convolution is the second of a pair.
            "conv": "3.1" if way == "up" and level > 0 else "3",
        }[stage.group(3)]
        # ups.0 is the lowest level, `up0` the finest.
        stem = f"{way}s.{level if way == 'down' else depth - 1 - level}.{place}"
    else:
        stem = blocks[path[0]]
    return f"{stem}.{parts[path[1]]}" if len(path) > 1 else stem
