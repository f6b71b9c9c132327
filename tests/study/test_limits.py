"""Numbers that no study can mean are refused when the configuration is parsed."""

from __future__ import annotations

import pytest

from fairrecon_jax.study.bundled import bundled, configuration
from fairrecon_jax.study.limits import LARGEST, SMALLEST, check_sizes
from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import ConfigError


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("assess.permutations", 10**9),
        ("assess.null_draws", 10**9),
        ("assess.replicates", 10**9),
        ("assess.threshold_redraws", 10**9),
        ("assess.bins", 10**9),
        ("assess.min_patients", 10**9),
        ("assess.alpha", 1e-300),
        ("degradation.angles", 4 * 10**6),
        ("degradation.levels", (1e-300,)),
        ("degradation.levels", (1e300,)),
        ("reconstructors.unet.train.batch_size", 10**9),
        ("reconstructors.unet.train.learning_rate", 1e30),
        ("reconstructors.unet.train.steps", 10**12),
        ("reconstructors.unet.width", 10**6),
        ("diagnosers.findings.hidden", (10**7,)),
        ("diagnosers.findings.input_size", 10**6),
        ("tandem.batch_size", 10**9),
        ("phantom.patients", 10**9),
        ("phantom.size", 10**6),
        ("phantom.workers", 10**6),
        ("report.examples", 10**9),
    ],
)
def test_a_number_beyond_all_sense_is_refused_by_name(path, value):
    config = configuration("quickstart_xray")
    *outer, last = path.split(".")
    block = config
    for name in outer:
        block = block[name]
    with config.unlocked(), block.ignore_type():
        block[last] = value
    with pytest.raises(ConfigError, match=rf"^config\.{path} must be at (most|least) .* got"):
        parse(config)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        # hundreds of digits, which are no float
        ("assess.permutations", 10**400, r"permutations must be at most 1e\+06"),
        ("degradation.levels", (1e4, 10**400), r"levels must be at most 1e\+12"),
        ("seed", -(10**400), "seed must be a whole number"),
        ("assess.continuous", ("age_years", "age_years"), "continuous must differ"),
        ("assess.conventions", ("mean", "mean"), "conventions must differ"),
        ("assess.intersections", (("sex", "age"), ("age", "sex")), "intersections must differ"),
        ("report.title", "a\0b", "title must be one line that can be printed"),
        ("report.title", "a\ud800", "title must be one line that can be printed"),
        ("reconstructors", {"x" * 65: {"kind": "identity"}}, "is longer than 64 bytes"),
    ],
)
def test_what_would_fail_later_is_refused_at_once(path, value, says):
    config = configuration("quickstart_xray").to_dict()
    *outer, last = path.split(".")
    block = config
    for name in outer:
        block = block[name]
    block[last] = value
    config["mitigations"] = {}
    with pytest.raises(ConfigError, match=rf"^config\..*{says}"):
        parse(config)


def test_an_attribute_is_not_crossed_with_itself():
    config = configuration("quickstart_xray")
    config.assess.intersections = (("sex", "sex"),)
    with pytest.raises(ConfigError, match="intersections cross an attribute with itself"):
        parse(config)


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_configuration_lies_within(name):
    check_sizes(configuration(name).to_dict())


def test_the_ends_of_a_range_are_in_it():
    for name, most in LARGEST.items():
        check_sizes({"block": {name: most}})
        with pytest.raises(ConfigError, match=rf"config\.block\.{name}"):
            check_sizes({"block": {name: most * 2}})
    for name, least in SMALLEST.items():
        check_sizes({"block": {name: least}})
        with pytest.raises(ConfigError, match=rf"config\.block\.{name}"):
            check_sizes({"block": {name: least / 2}})
