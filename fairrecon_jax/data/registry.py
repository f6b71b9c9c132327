"""All cohorts by name. A new one is one folder in `cohorts` and one line here; one of a user's own
registers itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import TypeVar

from fairrecon_jax.data.builder import CohortBuilder
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.cohorts.chexpert import Chexpert
from fairrecon_jax.data.cohorts.lgg_mri import LggMri
from fairrecon_jax.data.cohorts.nih_chestxray14 import NihChestxray14
from fairrecon_jax.data.cohorts.table import Table
from fairrecon_jax.data.cohorts.ucsf_pdgm import UcsfPdgm
from fairrecon_jax.types import InputError, meant

Builder = TypeVar("Builder", bound=type[CohortBuilder])

COHORTS: dict[str, type[CohortBuilder]] = {
    builder.cohort: builder for builder in (Chexpert, UcsfPdgm, NihChestxray14, LggMri, Table)
}


def register(builder: Builder) -> Builder:
    """Class decorator that enters a builder under its `cohort` name, from anybody's module.

    Raises:
      InputError: the name is taken by another builder.

    Example:
      >>> from fairrecon_jax.data.cohorts.lgg_mri import LggMri
      >>> register(LggMri).cohort in COHORTS
      True
    """
    taken = COHORTS.get(builder.cohort)
    # by name: a module that is loaded anew brings its class a second time
    if taken is not None and taken.__qualname__ != builder.__qualname__:
        raise InputError(f"the cohort {builder.cohort!r} is already {taken.__qualname__}")
    COHORTS[builder.cohort] = builder
    return builder


def load_module(module: str) -> None:
    """Imports what registers a builder of one's own.

    Args:
      module: a dotted name, looked for in the working directory too, or the path of a file that
        ends in ".py".

    Raises:
      InputError: there is no such module, or it fails; the message says with what.
    """
    try:
        if not module.endswith(".py"):
            # a console script has its own folder first on the path, not the user's
            if os.getcwd() not in sys.path:
                sys.path.append(os.getcwd())
            importlib.import_module(module)
            return
        path = Path(module).resolve()
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no module")
        loaded = importlib.util.module_from_spec(spec)
        # entered before it runs, as dataclasses look their module up
        sys.modules[path.stem] = loaded
        spec.loader.exec_module(loaded)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"module {module!r}: {type(error).__name__}: {error}") from error


def builder_of(config: CohortConfig) -> type[CohortBuilder]:
    """The builder of a configuration: that of its name, with what the configuration itself
    describes.

    Raises:
      InputError: no such cohort, or the configuration lacks what it needs.
    """
    if not isinstance(config, CohortConfig):
        raise InputError(f"config takes fr.CohortConfig(name, ...), got {config!r}")
    return find(config.name).of(config)


def find(name: str) -> type[CohortBuilder]:
    """The builder of a cohort.

    Raises:
      InputError: no such cohort; the message lists those there are.
    """
    if name not in COHORTS:
        raise InputError(
            f"no cohort {name!r}; there are {', '.join(sorted(COHORTS))}, "
            f"or those of a module that config.cohort.module names{meant(name, COHORTS)}"
        )
    return COHORTS[name]
