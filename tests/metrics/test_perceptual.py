"""LPIPS against the published values and a PyTorch network of the same layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import fairrecon_jax as fr
from fairrecon_jax.metrics import IMAGE_METRICS, lpips, read_lpips
from fairrecon_jax.metrics.image_metric import check_computable
from fairrecon_jax.metrics.perceptual import LPIPSNetwork
from fairrecon_jax.types import InputError

REAL = Path(__file__).parents[3] / "shared" / "data" / "lpips"
SHAPES = ((11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256))


@pytest.fixture(scope="module")
def flat() -> dict[str, np.ndarray]:
    """Drawn weights under the names of the files."""
    rng, made = np.random.default_rng(0), {}
    for i, (size, inputs, outputs) in enumerate(SHAPES):
        kernel = rng.normal(0, (2 / (size * size * inputs)) ** 0.5, (size, size, inputs, outputs))
        made[f"AlexNet_0.Conv_{i}.kernel"] = kernel.astype(np.float32)
        made[f"AlexNet_0.Conv_{i}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
        head = rng.uniform(0, 1, (1, 1, outputs, 1)).astype(np.float32)
        made[f"NetLinLayer_{i}.Conv_0.kernel"] = head
    return made


@pytest.fixture(scope="module")
def file(flat, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "weights.npz"
    np.savez(path, **flat)
    return path


def reference(flat, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same sum in PyTorch, of images [B, H, W, 1]."""
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    total = np.zeros(len(x))
    streams = [torch.from_numpy(2 * im.transpose(0, 3, 1, 2).repeat(3, 1) - 1) for im in (x, y)]
    shift = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
    streams = [(s - shift) / scale for s in streams]
    for i, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))):
        kernel = torch.from_numpy(flat[f"AlexNet_0.Conv_{i}.kernel"].transpose(3, 2, 0, 1).copy())
        bias = torch.from_numpy(flat[f"AlexNet_0.Conv_{i}.bias"])
        if i in (1, 2):
            streams = [f.max_pool2d(s, 3, 2) for s in streams]
        streams = [f.relu(f.conv2d(s, kernel, bias, stride, padding)) for s in streams]
        a, b = (f.normalize(s, dim=1, eps=1e-10) for s in streams)
        head = torch.from_numpy(flat[f"NetLinLayer_{i}.Conv_0.kernel"].reshape(1, -1, 1, 1))
        total += ((a - b) ** 2 * head).sum(1).mean((1, 2)).numpy()
    return total


def test_parity_with_pytorch_on_grey_images(flat, file):
    x, y = np.random.default_rng(1).random((2, 3, 40, 40, 1), np.float32)
    weights = read_lpips(file)
    run = jax.jit(lpips)
    found = run(x, y, weights)
    np.testing.assert_allclose(found, reference(flat, x, y), rtol=1e-4)
    np.testing.assert_array_equal(run(x, x, weights), np.zeros(3))
    np.testing.assert_allclose(found, run(y, x, weights), rtol=1e-5)


@pytest.mark.skipif(not REAL.is_dir(), reason="the published weights lie beside the repository")
def test_the_published_values():
    from PIL import Image

    weights = read_lpips(REAL / "lpips_alex_v01.npz")
    pictures = [
        np.asarray(Image.open(REAL / f"ex_{name}.png").convert("RGB"), np.float32)[None] / 255
        for name in ("ref", "p0", "p1")
    ]
    found = [float(lpips(pictures[0], other, weights)[0]) for other in pictures[1:]]
    np.testing.assert_allclose(found, [0.7219, 0.1376], atol=0.001)


def test_the_packages_pickle_is_read_and_nothing_of_it_run(flat, tmp_path):
    tree: dict = {}
    for key, value in flat.items():
        place = tree
        *outer, last = key.split(".")
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = value
    path = tmp_path / "alexnet.ckpt"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps({"params": tree}, protocol=protocol))
        for key, value in flatten_dict(read_lpips(path), sep=".").items():
            np.testing.assert_array_equal(value, flat[key])
    path.write_bytes(pickle.dumps({"params": tree, "run": print}))
    with pytest.raises(InputError, match=r"the pickle asks for builtins\.print"):
        read_lpips(path)


def test_what_is_refused(flat, tmp_path):
    with pytest.raises(FileNotFoundError, match="no LPIPS weights at"):
        read_lpips(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"broken\.npz cannot be read as LPIPS weights"):
        read_lpips(tmp_path / "broken.npz")
    short = {key: value for key, value in flat.items() if not key.endswith("bias")}
    wild = {**flat, "AlexNet_0.Conv_0.bias": np.full(64, np.nan, np.float32)}
    wide = {**flat, "AlexNet_0.Conv_0.bias": np.zeros(3, np.float32)}
    for made, message in (
        (short, r"missing AlexNet_0\.Conv_0\.bias"),
        (wild, "values that are not finite"),
        (wide, r"has shape \(3,\), expected \(64,\)"),
    ):
        np.savez(tmp_path / "made.npz", **made)
        with pytest.raises(InputError, match=message):
            read_lpips(tmp_path / "made.npz")
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {"a.weight": torch.ones(2)}}, tmp_path / "net.ckpt")
    (tmp_path / "int.ckpt").write_bytes(pickle.dumps({1: {2: np.ones(3)}}))
    (tmp_path / "text.ckpt").write_bytes(pickle.dumps({"AlexNet_0": {"Conv_0": {"bias": "x"}}}))
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "other.npz", kernel=np.ones(3))
    for name, message in (
        ("net.ckpt", r"net\.ckpt cannot be read as LPIPS weights, which are \.npz files or"),
        ("array.npz", r"array\.npz cannot be read as LPIPS weights"),
        ("int.ckpt", r"something else, with the keys 1\.2; theirs are AlexNet_0"),
        ("other.npz", r"something else, with the keys kernel; theirs are AlexNet_0"),
        ("text.ckpt", r"text\.ckpt holds no LPIPS weights: .*has shape"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            read_lpips(tmp_path / name)
        assert len(str(refused.value)) < 400 + len(str(tmp_path))
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"read from \.npz files"):
        read_lpips(tmp_path / "a.pth")
    image = jnp.zeros((1, 32, 32, 2))
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        lpips(image, image, {})
    small = jnp.zeros((1, 30, 30, 1))
    with pytest.raises(ValueError, match="31"):
        lpips(small, small, {})


def test_the_tandem_step_computes_it_where_it_has_weights(file):
    image = np.random.default_rng(2).random((3, 32, 32), np.float32)
    bright = {"bright": lambda image: image.mean((1, 2, 3))}
    labels = {"bright": [0, 1, 1]}
    physics = fr.GaussianNoise(sd=0.1)
    plain = fr.tandem(physics, None, bright)(image, labels, key=0)
    rows = fr.tandem(physics, None, bright, lpips=file)(image, labels, key=0)
    assert "lpips" not in plain
    assert (rows["lpips"] > 0).all()
    assert list(rows.drop(columns="lpips").columns) == list(plain.columns)
    noisy = physics(image, key=jax.random.fold_in(jax.random.key(0), 0))
    wanted = lpips(image[..., None], np.clip(noisy, 0, 1)[..., None], read_lpips(file))
    np.testing.assert_allclose(rows["lpips"], wanted, rtol=1e-4)


def test_it_is_a_metric_like_all_others():
    metric = IMAGE_METRICS["lpips"]
    assert (metric.title, metric.better, metric.compute) == ("LPIPS", "lower", None)
    assert metric.compute_by is lpips
    with pytest.raises(ValueError, match="'lpips' has weights: give them under lpips instead"):
        check_computable(("psnr", "lpips"))
    shapes = jax.eval_shape(
        LPIPSNetwork().init, jax.random.key(0), *[jnp.zeros((1, 32, 32, 3))] * 2
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 2_469_696 + 1_152
