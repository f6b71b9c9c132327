"""Builders of a user's own, registered without editing the package."""

import sys
import textwrap

import pytest

from fairrecon_jax.data import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.builder import CohortBuilder
from fairrecon_jax.data.registry import COHORTS, find, load_module, register
from fairrecon_jax.types import InputError
from tests.support.own_tree import write_own

MODULE = """
    import numpy as np
    from fairrecon_jax.data.builder import XRAY_LEVELS, CohortBuilder, whole_image
    from fairrecon_jax.data.images import load_grey
    from fairrecon_jax.data.records import SourceRecord
    from fairrecon_jax.data.registry import register
    from fairrecon_jax.data.tables import number, read_table, rows_of
    from fairrecon_jax.types import Task

    @register
    class Ward(CohortBuilder):
        cohort, title, modality, citation = "ward_{name}", "Ward", "xray", ""
        degradation, dtype = XRAY_LEVELS, np.uint8
        columns = {{"sex_recorded": str, "age_years": float, "nodule": float}}
        tasks = (Task("nodule", "classification"),)
        attribute_names = ("sex",)

        @classmethod
        def scan(cls, root, config, notes, progress=False):
            return [
                SourceRecord(row["File"], row["Patient ID"], ("images/" + row["File"],), {{
                    "sex_recorded": row["Sex"], "age_years": number(row["Age"]), "nodule": 1.0,
                }})
                for row in rows_of(read_table(root / "exams.csv", ()))
            ]

        @classmethod
        def load(cls, root, record, config, notes):
            image = load_grey(root, record.files[0], notes)
            return whole_image(record, image, config.image_size, cls.dtype, notes)

        @classmethod
        def labels(cls, raw, config):
            return {{"nodule": raw["nodule"].to_numpy(np.float32)}}
"""


@pytest.fixture(autouse=True)
def clean():
    before, modules = dict(COHORTS), set(sys.modules)
    path = list(sys.path)
    yield
    COHORTS.clear()
    COHORTS.update(before)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("my_ward"):
            del sys.modules[name]


@pytest.mark.parametrize("how", ["module", "file"])
def test_a_module_of_ones_own_brings_a_cohort(tmp_path, monkeypatch, how):
    path = tmp_path / "my_ward.py"
    path.write_text(textwrap.dedent(MODULE.format(name=how)))
    monkeypatch.chdir(tmp_path)
    load_module("my_ward" if how == "module" else str(path))
    load_module("my_ward" if how == "module" else str(path))  # a second study loads it again
    config = CohortConfig(f"ward_{how}", image_size=16)
    prepare(config, write_own(tmp_path / "tree", 4), tmp_path / "out", progress=False)
    assert len(open_cohort(config, tmp_path / "out")) == 4


def test_names_that_are_taken_and_modules_that_fail(tmp_path):
    class Another(CohortBuilder):
        cohort = "lgg_mri"

    with pytest.raises(InputError, match="'lgg_mri' is already LggMri"):
        register(Another)
    with pytest.raises(InputError, match="module 'no_such_module': ModuleNotFoundError"):
        load_module("no_such_module")
    (tmp_path / "my_ward_broken.py").write_text("1 / 0")
    with pytest.raises(InputError, match=r"my_ward_broken\.py': ZeroDivisionError"):
        load_module(str(tmp_path / "my_ward_broken.py"))
    with pytest.raises(InputError, match=r"or those of a module that config\.cohort\.module names"):
        find("ward")
