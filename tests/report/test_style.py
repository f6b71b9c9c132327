"""Looks and words: every method keeps its own, and what is printed is right."""

from __future__ import annotations

import itertools

import pytest

from fairrecon_jax.inference import GAPS, MITIGATIONS, VERDICTS
from fairrecon_jax.physics import describe
from fairrecon_jax.report.figures import style
from fairrecon_jax.types import DegradationSpec, MethodTitle
from tests.support.report_findings import NAMED_OTHERWISE

MRI = describe("mri_radial", (4.0, 8.0), 8.0)
XRAY = describe("xray_low_dose", (1e5, 3e3), 1e5)


def test_known_reconstructors_keep_their_colour_whatever_else_is_shown():
    alone = style.looks(["irsde"])["irsde"]
    among = style.looks(["mine", "unet", "irsde", "identity"])["irsde"]
    assert alone == among


def test_no_two_reconstructors_share_a_colour_or_a_fill_in_grey():
    looks = style.looks(["unet", "pix2pix", "irsde", "identity", "mine", "yours"])
    assert len({look.color for look in looks.values()}) == 6
    for a, b in itertools.combinations(("unet", "pix2pix", "irsde", "identity"), 2):
        assert looks[a].fill != looks[b].fill
        assert looks[a].line != looks[b].line


def test_aliases_of_one_method_do_not_collide():
    looks = style.looks(["unet", "mse"])
    assert looks["unet"].color != looks["mse"].color


def test_colours_are_from_the_safe_palette():
    for name, look in style.looks(["unet", "pix2pix", "irsde", "a", "b", "c"]).items():
        assert look.color in style.OKABE_ITO, name


def test_more_reconstructors_than_colours_still_work():
    assert len(style.looks([f"m{i}" for i in range(12)])) == 12


def test_markers_of_mitigations_differ_and_plain_is_a_disc():
    markers = style.markers(["none", "reweighting", "eodd", "adversarial", "new", "newer"])
    assert markers["none"] == "o"
    assert len(set(markers.values())) == 6


@pytest.mark.parametrize(
    ("level", "degradation", "expected"),
    [
        (8.0, MRI, "8×"),
        (4.5, MRI, "4.5×"),
        (1e5, XRAY, "100,000"),
        (0.5, XRAY, "0.5"),
        (float("nan"), MRI, "any level"),
    ],
)
def test_levels_in_words(level, degradation, expected):
    assert style.level_name(level, degradation) == expected


def test_levels_in_sentences_carry_their_unit():
    assert style.level_phrase(8.0, MRI) == "acceleration factor 8×"
    assert style.level_phrase(3e3, XRAY) == "photon count 3,000"
    unnamed = DegradationSpec("unnamed", (1.0,), 1.0)
    assert (style.level_phrase(1.0, unnamed), style.level_short(1.0, unnamed)) == (
        "a level not named",
        "not named",
    )


def test_metrics_in_words():
    assert style.metric_name("eodd") == "EODD"
    assert style.metric_name("gap_sensitivity") == "gap in sensitivity"
    assert style.metric_name("my_metric") == "my metric"
    assert style.metric_name("psnr") == "PSNR (dB)"


def test_every_claim_has_a_sign_of_its_own():
    assert {word for word in VERDICTS if style.verdict_sign(word)} == {"harmed", "favoured"}
    assert all(style.gap_sign(word) for word in GAPS)
    signs = [style.verdict_sign("harmed"), style.verdict_sign("favoured")]
    assert len({*signs, *map(style.gap_sign, GAPS)}) == 2 + len(GAPS)
    assert set(style.MITIGATION_SIGNS) < set(MITIGATIONS)


def test_definitions_are_those_of_the_tests_each_once():
    words = [entry for _, entries in style.definitions() for entry in entries]
    assert len(words) == len(set(words))
    says = [sentence for _, sentence in words]
    for lists in (VERDICTS, GAPS, MITIGATIONS):
        assert all(says.count(sentence) == 1 for sentence in lists.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("irsde", "IR-SDE"),
        ("MSE", "U-Net"),
        ("irsde_ode2_10", "irsde_ode2_10"),
        ("unet_wide_l1", "unet_wide_l1"),
        ("my_model", "my_model"),
    ],
)
def test_a_name_alone_says_only_what_is_usual(name, expected):
    assert style.looks([name])[name].name == expected


def test_a_method_is_called_as_it_says_itself():
    methods = {"fast": MethodTitle("IR-SDE", "ODE, order 2, 10 steps"), "unet": MethodTitle("X")}
    assert style.titles_of(["fast", "unet"], methods) == {"fast": "IR-SDE", "unet": "X"}


def test_details_tell_methods_of_one_title_apart_and_names_what_still_looks_alike():
    methods = {
        "a": MethodTitle("IR-SDE", "Euler SDE, 100 steps"),
        "b": MethodTitle("IR-SDE", "ODE, order 2, 10 steps"),
        "c": MethodTitle("IR-SDE", "ODE, order 2, 10 steps"),
        "d": MethodTitle("U-Net"),
    }
    assert style.titles_of("abcd", methods) == {
        "a": "IR-SDE (Euler SDE, 100 steps)",
        "b": "IR-SDE (ODE, order 2, 10 steps) [b]",
        "c": "IR-SDE (ODE, order 2, 10 steps) [c]",
        "d": "U-Net",
    }


def test_two_methods_of_one_title_are_told_apart():
    looks = style.looks(["unet", "mse", "irsde"])
    assert [look.name for look in looks.values()] == ["U-Net [unet]", "U-Net [mse]", "IR-SDE"]


def test_variants_stand_behind_their_kind_and_the_degraded_image_last():
    names = ["identity", "mine", "fast", "pix2pix", "wide", "irsde", "unet"]
    methods = {"fast": MethodTitle("IR-SDE", "ODE"), "wide": MethodTitle("U-Net")}
    assert sorted(names, key=lambda name: style.rank(name, methods)) == [
        "unet",
        "wide",
        "pix2pix",
        "irsde",
        "fast",
        "mine",
        "identity",
    ]


def test_the_degraded_image_is_what_says_so_and_without_methods_what_is_called_identity():
    looks = style.looks(["degraded", "identity"], NAMED_OTHERWISE)
    assert (looks["degraded"].color, looks["degraded"].name) == (style.GREY, "degraded image")
    assert (looks["identity"].color != style.GREY, looks["identity"].name) == (True, "Pix2Pix")
    names = ["degraded", "identity", "mine"]
    assert sorted(names, key=lambda name: style.rank(name, NAMED_OTHERWISE)) == [
        "identity",
        "mine",
        "degraded",
    ]
    foreign = style.looks(["degraded", "Identity"])
    assert (foreign["degraded"].color != style.GREY, foreign["Identity"].color) == (
        True,
        style.GREY,
    )


def test_a_variant_never_has_the_colour_of_a_known_method_that_is_absent():
    known = {look.color for look in style.looks(["unet", "pix2pix", "irsde"]).values()}
    assert style.looks(["irsde", "irsde_ode2_10"])["irsde_ode2_10"].color not in known
