"""Images that something else made of the originals: their scale, shape and place."""

import numpy as np
import pytest
from PIL import Image

from fairrecon_jax.data import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.cohorts.table.alignment import TURNS, misplaced
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.data.loader import eval_batches
from fairrecon_jax.data.mapping import table_columns
from tests.support.own_tree import COLUMNS, picture, write_own


def config(size=32, **change):
    pairs = {"reconstructions": {"vendor": {"folder": "vendor"}}, "degraded": {"folder": "noisy"}}
    return CohortConfig(
        "table", image_size=size, columns=table_columns({**COLUMNS, **pairs, **change})
    )


def test_stored_images_keep_the_scale_of_their_original(tmp_path):
    root, out = write_own(tmp_path / "tree"), tmp_path / "out"
    prepare(config(), root, out, progress=False)
    cohort = open_cohort(config(), out)
    batch = next(eval_batches(cohort, np.arange(len(cohort)), 24))
    assert batch["stored_vendor"].shape == (24, 32, 32, 1)
    for row, name in enumerate(cohort.table["example_id"]):
        original = picture(int(name)).astype(float)
        deep = np.asarray(Image.open(root / f"vendor/{name}.png")).astype(float) / 257
        shallow = np.asarray(Image.open(root / f"noisy/{name}.png")).astype(float)
        for stored, values in (("stored_vendor", deep), ("stored_degraded", shallow)):
            want = ((values - original.min()) / np.ptp(original)).clip(0, 1)
            np.testing.assert_allclose(batch[stored][row, ..., 0], want, atol=2e-5)


def test_images_written_over_their_whole_range_are_taken_as_they_are(tmp_path):
    root, out = write_own(tmp_path / "tree"), tmp_path / "out"
    chosen = config(reconstructions={"vendor": {"folder": "vendor", "scale": "full"}})
    prepare(chosen, root, out, progress=False)
    cohort = open_cohort(chosen, out)
    name = cohort.table["example_id"][0]
    want = np.asarray(Image.open(root / f"vendor/{name}.png")) / 65535
    np.testing.assert_allclose(cohort.example(0)["stored_vendor"][..., 0], want, atol=1e-5)


def test_files_of_nested_images_are_found_by_path_and_as_they_are_written(tmp_path):
    root = write_own(tmp_path / "tree")
    for number in range(24):
        file, inner = f"{number:03d}.png", f"p{number // 2}/{number % 2}.png"
        (root / "images" / inner).parent.mkdir(exist_ok=True)
        (root / "images" / file).rename(root / "images" / inner)
        flat = root / "vendor" / inner.replace("/", "__")
        (root / "vendor" / file).rename(flat)
        for folder in ("noisy", "masks"):
            (root / folder / inner).parent.mkdir(exist_ok=True)
            (root / folder / file).rename(root / folder / inner)
    text = (root / "exams.csv").read_text()
    for number in range(24):
        text = text.replace(f"{number:03d}.png", f"p{number // 2}/{number % 2}.png")
    (root / "exams.csv").write_text(text)
    report = examine("table", root, config(), progress=False)
    assert (report.images, report.ok) == (24, True)
    (root / "noisy/p3/1.png").unlink()
    assert examine("table", root, config(), progress=False).count("missing_pair") == 1


def test_pairs_that_do_not_fit_are_noted(tmp_path):
    root = write_own(tmp_path / "tree")
    (root / "vendor/000.png").unlink()
    Image.fromarray(picture(2)[:, :30]).save(root / "vendor/002.png")
    Image.fromarray(picture(4)[:, ::-1].copy()).save(root / "vendor/004.png")
    Image.fromarray(np.roll(picture(6), 5, axis=0)).save(root / "vendor/006.png")
    Image.fromarray(picture(8).astype(np.float32)).save(root / "vendor/008.tif")
    (root / "vendor/008.png").unlink()
    report = examine("table", root, config(), progress=False)
    assert report.count("missing_pair") == 1
    assert report.count("pair_shape") == 2, "another size, and fractions beside whole numbers"
    assert report.count("misaligned") == 2
    assert (report.images, report.ok) == (21, False)


@pytest.mark.parametrize("words", list(TURNS))
def test_turned_and_mirrored_images_are_seen(words):
    original = picture(3).astype(float)
    turn = TURNS[words]
    # undoing the turn: three times more for a quarter, once more for all others
    back = original
    for _ in range(3 if "90" in words or "270" in words else 1):
        back = turn(back)
    assert words in misplaced(original, back)


def test_a_poor_reconstruction_is_not_called_misaligned_and_an_empty_one_is_told():
    rng = np.random.default_rng(0)
    for number in range(30):
        original = picture(number).astype(float)
        noisy = original + rng.normal(0, 80, original.shape)
        assert misplaced(original, noisy) == ""
        assert "one grey value" in misplaced(original, np.full_like(original, 3))
        assert "inverted" in misplaced(original, 255 - original)
        assert misplaced(original, original * 0.3 + 20) == ""


def test_a_shift_is_told_in_its_direction():
    original = picture(5).astype(float)
    assert "moved by -12 % down and 0 % to the right" in misplaced(
        original, np.roll(original, 4, axis=0)
    )
