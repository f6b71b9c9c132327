"""Phantom trees that are written once and read by many tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairrecon_jax.phantoms import write_phantom
from tests.support.phantom_fakes import BRAIN, XRAY


@pytest.fixture(scope="session")
def xray_tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "xray"
    write_phantom("xray", root, XRAY)
    return root


@pytest.fixture(scope="session")
def brain_tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "brain"
    write_phantom("brain", root, BRAIN)
    return root


@pytest.fixture(scope="session")
def xray_truth(xray_tree) -> dict:
    return json.loads((xray_tree / "ground_truth.json").read_text())


@pytest.fixture(scope="session")
def brain_truth(brain_tree) -> dict:
    return json.loads((brain_tree / "ground_truth.json").read_text())
