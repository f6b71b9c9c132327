"""Example panels: pictures, contours, errors on one scale, scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fairrecon_jax.report import ExamplePanel, ReportOptions
from fairrecon_jax.report.figures import panel_scores, panels
from tests.support import report_fake as fake
from tests.support.report_findings import NAMED_OTHERWISE, findings_of
from tests.support.report_inputs import examples


def test_one_figure_per_example_up_to_the_limit(mri):
    figures = panels.drawings(mri, examples(mri.spec, 3, 32), ReportOptions(max_examples=2))
    assert [d.key for d in figures] == ["degradation_levels", "example_01", "example_02"]


def test_a_reconstructor_may_be_called_degraded():
    findings = findings_of(fake.mri_spec(), ("degraded",), called=NAMED_OTHERWISE)
    panel = examples(findings.spec, 1, 32)[0]
    named = {
        field: {"degraded": getattr(panel, field)["unet"]}
        for field in ("reconstructions", "masks_reconstructed", "scores_reconstructed")
    }
    axes = panels.draw(
        findings, dataclasses.replace(panel, **named), 1, 0.1, ReportOptions()
    ).figure.axes
    assert [one.get_title(loc="left") for one in axes[:3]] == [
        "original",
        "degraded, 8×",
        "degraded image",
    ]
    assert [bool(one.get_xlabel()) for one in axes[:3]] == [True, False, True]


def test_pictures_are_drawn_over_the_full_range_and_errors_on_one_scale(mri):
    figures = panels.drawings(mri, examples(mri.spec, 2, 32), ReportOptions())[1:]
    limits = {
        axes.images[0].get_clim() for d in figures for axes in d.figure.axes[:4] if axes.images
    }
    assert limits == {(0.0, 1.0)}
    errors = {axes.images[0].get_clim() for d in figures for axes in d.figure.axes[5:8]}
    assert len(errors) == 1
    low, high = errors.pop()
    assert low == -high < 0


def test_the_error_map_is_reconstruction_minus_original(mri):
    panel = examples(mri.spec, 1, 32)[0]
    axes = panels.draw(mri, panel, 1, 0.1, ReportOptions()).figure.axes
    np.testing.assert_allclose(
        np.asarray(axes[6].images[0].get_array()), panel.reconstructions["unet"] - panel.original
    )


def test_masks_are_contours_only_where_there_is_something_to_outline(mri):
    panel = examples(mri.spec, 1, 32)[0]
    drawn = panels.draw(mri, panel, 1, 0.1, ReportOptions()).figure.axes
    assert len(drawn[0].collections) == 2
    assert len(drawn[1].collections) == 1, "the degraded image was not segmented"
    empty = dataclasses.replace(
        panel, truth=np.zeros((32, 32)), mask_original=None, masks_reconstructed={}
    )
    assert len(panels.draw(mri, empty, 1, 0.1, ReportOptions()).figure.axes[0].collections) == 0


def test_images_with_a_channel_axis_are_flattened(mri):
    panel = examples(mri.spec, 1, 32)[0]
    deep = dataclasses.replace(
        panel,
        original=panel.original[..., None],
        degraded=panel.degraded[..., None],
        reconstructions={"unet": panel.reconstructions["unet"][..., None]},
    )
    assert panels.draw(mri, deep, 1, 0.1, ReportOptions()).figure.axes[0].images[
        0
    ].get_array().shape == (32, 32)


def test_scores_say_what_was_decided_and_what_is_true(mri):
    panel = dataclasses.replace(
        examples(mri.spec, 1, 32)[0],
        scores_original={"grade": 0.8, "tumour": 0.7},
        scores_reconstructed={"unet": {"grade": 0.3, "tumour": float("nan")}},
        labels={"grade": 1.0},
        thresholds={"grade": 0.5},
    )
    assert (
        panel_scores.score_text(mri, panel, "original", ["grade", "tumour"], 30)
        == "WHO grade IV: 0.80 + (present)\nTumour: Dice 0.70"
    )
    assert (
        panel_scores.score_text(mri, panel, "unet", ["grade", "tumour"], 30)
        == "WHO grade IV: 0.30 −\nTumour: Dice n.e."
    )
    assert panel_scores.score_text(mri, panel, panel_scores.DEGRADED, ["grade"], 30) == ""


def test_the_most_moved_tasks_are_shown(mri):
    panel = dataclasses.replace(
        examples(mri.spec, 1, 32)[0],
        scores_original={"grade": 0.5, "type": 0.5, "tumour": 0.5},
        scores_reconstructed={"unet": {"grade": 0.5, "type": 0.9, "tumour": 0.4}},
    )
    assert panel_scores.shown_tasks(mri, panel, 2) == ["type", "tumour"]


def test_identifiers_are_printed_only_where_asked_for(mri):
    panel = examples(mri.spec, 1, 32)[0]
    assert "SECRET" not in panels.draw(mri, panel, 1, 0.1, ReportOptions()).caption
    assert (
        "SECRET00000/study1"
        in panels.draw(mri, panel, 1, 0.1, ReportOptions(identifiers=True)).caption
    )


def test_mitigated_reconstructions_are_named(mri):
    panel = examples(mri.spec, 1, 32)[0]
    assert panel_scores.title(mri, panel_scores.DEGRADED, panel) == "degraded, 8×"


def test_every_score_is_in_the_table(mri):
    panel = examples(mri.spec, 1, 32)[0]
    table = panel_scores.score_table(mri, panel, 1)
    assert len(table) == 3 * 3
    assert set(table["version"]) == {"original", "unet", "irsde"}


def test_a_panel_of_other_shape_is_refused():
    image = np.zeros((8, 8))
    with pytest.raises(ValueError, match=r"reconstructions\['unet'\] has shape \(4, 4\)"):
        ExamplePanel(8.0, image, image, {"unet": np.zeros((4, 4))})


@pytest.mark.parametrize(("field", "value"), [("dpi", 10), ("max_examples", -1)])
def test_options_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}"):
        ReportOptions(**{field: value})


def test_no_examples_have_a_scale_too():
    assert panels.error_reach([]) == 0.01


def plain(panel: ExamplePanel) -> ExamplePanel:
    return dataclasses.replace(
        panel,
        attention_task="",
        attention_original=None,
        attention_reconstructed={},
        degraded_levels={},
    )


def test_the_levels_are_shown_mildest_first_with_their_psnr(mri):
    chosen = examples(mri.spec, 4, 32)
    drawing = panels.ladder(mri, chosen)
    titles = [
        axes.get_title(loc="left") for axes in drawing.figure.axes if axes.get_title(loc="left")
    ]
    assert titles == [
        "original",
        "acceleration factor 4×",
        "acceleration factor 8×",
        "acceleration factor 16×",
    ]
    assert len(drawing.table) == 3 * 3, "three examples at three levels"
    shown = drawing.figure.axes[5].images[0].get_array()
    np.testing.assert_allclose(np.asarray(shown), chosen[1].degraded_levels[4.0])
    error = np.mean((chosen[1].degraded_levels[4.0] - chosen[1].original) ** 2)
    assert drawing.figure.axes[5].get_xlabel() == f"PSNR {-10 * np.log10(error):.1f} dB"


def test_one_level_is_in_the_panels_already(mri):
    one = {8.0: examples(mri.spec, 1, 32)[0].degraded_levels[8.0]}
    assert (
        panels.ladder(mri, [dataclasses.replace(examples(mri.spec, 1, 32)[0], degraded_levels=one)])
        is None
    )
    assert panels.ladder(mri, []) is None


def test_grad_cam_lies_over_original_and_reconstructions_on_one_scale(mri):
    panel = examples(mri.spec, 1, 32)[0]
    drawing = panels.draw(mri, panel, 1, 0.1, ReportOptions())
    row = drawing.figure.axes[8:12]
    assert [len(axes.images) for axes in row] == [2, 0, 2, 2], (
        "the degraded image was not diagnosed"
    )
    top = panel.attention_original.max()
    np.testing.assert_allclose(
        np.asarray(row[0].images[1].get_array()), panel.attention_original / top
    )
    np.testing.assert_allclose(
        np.asarray(row[2].images[1].get_array()), panel.attention_reconstructed["unet"] / top
    )
    assert row[2].get_xlabel() == f"score {panel.scores_reconstructed['unet']['grade']:.2f}"
    assert "WHO grade IV" in drawing.caption
    assert "Grad-CAM" in drawing.caption


@pytest.mark.parametrize("degraded", [True, False])
def test_the_scale_of_grad_cam_lies_over_no_image(mri, degraded):
    panel = examples(mri.spec, 1, 32)[0]
    if not degraded:
        panel = dataclasses.replace(panel, degraded=None)
    drawn = panels.draw(mri, panel, 1, 0.1, ReportOptions()).figure.axes
    scales = [axes for axes in drawn if axes.child_axes]
    assert not any(axes.images for axes in scales)
    places = [child for axes in scales for child in axes.child_axes]
    # above one another where one panel holds both
    heights = {round(place.get_position().y0, 3) for place in places}
    assert len(places) == len(heights) == 2
    assert sum("Grad-CAM" in text.get_text() for axes in scales for text in axes.texts) == 1


def test_without_grad_cam_there_is_no_row_for_it(mri):
    drawing = panels.draw(mri, plain(examples(mri.spec, 1, 32)[0]), 1, 0.1, ReportOptions())
    assert len(drawing.figure.axes) == 8, "two rows of four panels"
    assert "Grad-CAM" not in drawing.caption


def test_an_empty_map_is_said(mri):
    panel = examples(mri.spec, 1, 32)[0]
    dark = {name: np.zeros((32, 32)) for name in panel.reconstructions}
    blind = dataclasses.replace(
        panel, attention_original=np.zeros((32, 32)), attention_reconstructed=dark
    )
    row = panels.draw(mri, blind, 1, 0.1, ReportOptions()).figure.axes[8:12]
    assert "no evidence for it" in row[0].get_xlabel()
    assert np.asarray(row[0].images[1].get_array()).max() == 0


def test_many_methods_fit_in_one_panel(mri):
    panel = examples(mri.spec, 1, 32)[0]
    names = [f"unet_v{i}" for i in range(7)]
    wide = dataclasses.replace(
        plain(panel), reconstructions=dict.fromkeys(names, panel.original), masks_reconstructed={}
    )
    drawing = panels.draw(mri, wide, 1, 0.1, ReportOptions())
    assert drawing.figure.get_figwidth() <= 7.5


@pytest.mark.parametrize(
    "field", ["attention_original", "attention_reconstructed", "degraded_levels"]
)
def test_a_map_of_other_shape_is_refused(field):
    image, wrong = np.zeros((8, 8)), np.zeros((4, 4))
    value = {
        "attention_original": wrong,
        "attention_reconstructed": {"unet": wrong},
        "degraded_levels": {8.0: wrong},
    }[field]
    with pytest.raises(ValueError, match=f"ExamplePanel.{field}"):
        ExamplePanel(8.0, image, image, {"unet": image}, **{field: value})


def test_reconstructions_stand_in_the_order_of_the_report(mri):
    panel = plain(examples(mri.spec, 1, 32)[0])
    turned = dataclasses.replace(
        panel, reconstructions={n: panel.reconstructions[n] for n in ("irsde", "unet")}
    )
    titles = [
        axes.get_title(loc="left")
        for axes in panels.draw(mri, turned, 1, 0.1, ReportOptions()).figure.axes[:4]
    ]
    assert titles == ["original", "degraded, 8×", "U-Net", "IR-SDE"]
