"""Example panels: pictures, contours, errors on one scale, scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import report_fake as fake

from fairrecon_jax.report import ExamplePanel, ReportOptions, panels
from fairrecon_jax.report.select import Findings


@pytest.fixture(scope="module")
def mri() -> Findings:
    spec = fake.mri_spec()
    cells = fake.cells(spec, ("unet", "irsde"))
    return Findings.of(spec, fake.performance(spec, cells), fake.fairness(spec, cells))


def test_one_figure_per_example_up_to_the_limit(mri):
    made = panels.drawings(mri, fake.examples(mri.spec, 3, 32), ReportOptions(max_examples=2))
    assert [d.key for d in made] == ["example_01", "example_02"]


def test_pictures_are_drawn_over_the_full_range_and_errors_on_one_scale(mri):
    made = panels.drawings(mri, fake.examples(mri.spec, 2, 32), ReportOptions())
    limits = {axes.images[0].get_clim() for d in made for axes in d.figure.axes[:4] if axes.images}
    assert limits == {(0.0, 1.0)}
    errors = {axes.images[0].get_clim() for d in made for axes in d.figure.axes[5:8]}
    assert len(errors) == 1
    low, high = errors.pop()
    assert low == -high < 0


def test_the_error_map_is_reconstruction_minus_original(mri):
    panel = fake.examples(mri.spec, 1, 32)[0]
    axes = panels.draw(mri, panel, 1, 0.1, ReportOptions()).figure.axes
    np.testing.assert_allclose(np.asarray(axes[6].images[0].get_array()), panel.reconstructions["unet"] - panel.original)


def test_masks_are_contours_only_where_there_is_something_to_outline(mri):
    panel = fake.examples(mri.spec, 1, 32)[0]
    drawn = panels.draw(mri, panel, 1, 0.1, ReportOptions()).figure.axes
    assert len(drawn[0].collections) == 2
    assert len(drawn[1].collections) == 1, "the degraded image was not segmented"
    empty = dataclasses.replace(panel, truth=np.zeros((32, 32)), mask_original=None, masks_reconstructed={})
    assert len(panels.draw(mri, empty, 1, 0.1, ReportOptions()).figure.axes[0].collections) == 0


def test_images_with_a_channel_axis_are_flattened(mri):
    panel = fake.examples(mri.spec, 1, 32)[0]
    deep = dataclasses.replace(
        panel,
        original=panel.original[..., None],
        degraded=panel.degraded[..., None],
        reconstructions={"unet": panel.reconstructions["unet"][..., None]},
    )
    assert panels.draw(mri, deep, 1, 0.1, ReportOptions()).figure.axes[0].images[0].get_array().shape == (32, 32)


def test_scores_say_what_was_decided_and_what_is_true(mri):
    panel = dataclasses.replace(
        fake.examples(mri.spec, 1, 32)[0],
        scores_original={"grade": 0.8, "tumour": 0.7},
        scores_reconstructed={"unet": {"grade": 0.3, "tumour": float("nan")}},
        labels={"grade": 1.0},
        thresholds={"grade": 0.5},
    )
    assert panels.score_words(mri, panel, "original", ["grade", "tumour"], 30) == "WHO grade IV: 0.80 + (present)\nTumour: Dice 0.70"
    assert panels.score_words(mri, panel, "unet", ["grade", "tumour"], 30) == "WHO grade IV: 0.30 −\nTumour: Dice n.e."
    assert panels.score_words(mri, panel, "degraded", ["grade"], 30) == ""


def test_the_most_moved_tasks_are_shown(mri):
    panel = dataclasses.replace(
        fake.examples(mri.spec, 1, 32)[0],
        scores_original={"grade": 0.5, "type": 0.5, "tumour": 0.5},
        scores_reconstructed={"unet": {"grade": 0.5, "type": 0.9, "tumour": 0.4}},
    )
    assert panels.shown_tasks(mri, panel, 2) == ["type", "tumour"]


def test_identifiers_are_printed_only_where_asked_for(mri):
    panel = fake.examples(mri.spec, 1, 32)[0]
    assert "SECRET" not in panels.draw(mri, panel, 1, 0.1, ReportOptions()).caption
    assert "SECRET00000/study1" in panels.draw(mri, panel, 1, 0.1, ReportOptions(identifiers=True)).caption


def test_mitigated_reconstructions_are_named(mri):
    panel = fake.examples(mri.spec, 1, 32)[0]
    assert panels.title(mri, "unet + eodd", panel).replace("\n", " ") == "U-Net + equalised-odds loss"
    assert panels.title(mri, "degraded", panel) == "degraded, 8×"


def test_every_score_is_in_the_table(mri):
    panel = fake.examples(mri.spec, 1, 32)[0]
    table = panels.score_table(mri, panel, 1)
    assert len(table) == 3 * 3
    assert set(table["version"]) == {"original", "unet", "irsde"}


def test_a_panel_of_other_shape_is_refused():
    image = np.zeros((8, 8))
    with pytest.raises(ValueError, match=r"reconstructions\['unet'\] has shape \(4, 4\)"):
        ExamplePanel(8.0, image, image, {"unet": np.zeros((4, 4))})


@pytest.mark.parametrize(("field", "value"), [("dpi", 10), ("max_examples", -1)])
def test_options_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"ReportOptions.{field}"):
        ReportOptions(**{field: value})


def test_no_examples_have_a_scale_too():
    assert panels.error_reach([]) == 0.01
