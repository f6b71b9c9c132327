"""Lowers the paper's training and tandem steps at full size for accelerators that need not be
there, and says what would go wrong on them. Nothing is compiled or computed.

    python -m experiments.lowering [--only NAME] [--devices N] [--precision P]
    python -m experiments.lowering --all

The second lowers every step on one device and over four, in float32 and in bfloat16, and ends in a
table. Devices are simulated on the CPU.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import pandas as pd

from experiments.tables import markdown

PLATFORMS = ("cuda", "tpu")
HARMLESS = frozenset(("Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape"))
"""Calls that only say how arrays lie on devices."""


def lower(step: Callable[..., Any], *shapes: Any, donate: bool) -> tuple[str, list[str]]:
    """Lowers a step for all of `PLATFORMS` in one module.

    Args:
      step: mapped over devices.
      *shapes: of its arguments, the first of them the state.
      donate: whether the step must give its state's buffers to the program.

    Returns:
      (the module as StableHLO text, what is wrong with it, one line each).
    """
    traced = jax.jit(step, donate_argnums=0 if donate else ()).trace(*shapes)
    count = len(jax.tree.leaves(shapes[0]))
    # JAX does not lower what calls Python for several platforms at once
    if calls := of_python(traced.jaxpr):
        return "", [f"calls of Python: {', '.join(sorted(calls))}"]
    text = traced.lower(lowering_platforms=PLATFORMS).as_text()
    wrong = list(problems(text))
    if donate:
        wrong += not_donated(text, traced.jaxpr, count)
    return text, wrong


def of_python(jaxpr: Any) -> set[str]:
    """Names of the operations of a program, and of those within it, that call Python.

    Example:
      >>> of_python(jax.make_jaxpr(jax.jit(lambda x: jax.debug.callback(print, x)))(1.0))
      {'debug_callback'}
    """
    found = set()
    for eqn in jaxpr.eqns:
        found |= {name for name in [eqn.primitive.name] if name.endswith("_callback")}
        inner = jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns"))
        for one in inner:
            found |= of_python(one) if hasattr(one, "eqns") else set()
    return found


def problems(text: str) -> Iterator[str]:
    """What in a lowered module accelerators do badly or not at all.

    Args:
      text: StableHLO.

    Yields:
      One line for each kind: calls of the host, double precision, shapes known only at run time.

    Example:
      >>> list(problems("%0 = stablehlo.sqrt %arg0 : tensor<2xf64>"))
      ['double precision: tensor<2xf64>']
    """
    calls = set(re.findall(r"stablehlo\.custom_call @([\w.$]+)", text)) - HARMLESS
    calls |= set(re.findall(r"stablehlo\.(?:send|recv|infeed|outfeed)\b", text))
    if calls:
        yield f"calls of the host or of a library: {', '.join(sorted(calls))}"
    if double := re.search(r"tensor<[^<>]*f64>", text):
        yield f"double precision: {double[0]}"
    if dynamic := re.search(r"tensor<[^<>]*\?[^<>]*>", text):
        yield f"a shape known only at run time: {dynamic[0]}"


def not_donated(text: str, jaxpr: Any, count: int) -> list[str]:
    """Leaves of the state that the program does not take over.

    Args:
      text: StableHLO of the step, traced as a function that donates its first argument.
      jaxpr: of the same; its compiled steps say what they take over themselves.
      count: leaves of the state.

    Returns:
      One line for each of the two ways in which some are left.
    """
    wrong = []
    # an argument that fits no result has neither attribute
    head = text[text.index("@main(") :]
    head = head[: head.index("->")]
    taken = len(re.findall(r"tf\.aliasing_output|jax\.buffer_donor = true", head))
    if taken < count:
        wrong.append(f"{count - taken} of {count} arrays of the state fit no result")
    inner = [eqn.params["donated_invars"] for eqn in jaxpr.eqns if "donated_invars" in eqn.params]
    given = max((sum(donated) for donated in inner), default=0)
    if given < count:
        wrong.append(f"{count - given} of {count} arrays of the state are not given to the program")
    return wrong


COMBINATIONS = tuple((n, p) for n in (1, 4) for p in ("float32", "bfloat16"))
"""Numbers of devices and precisions of `--all`."""
Found = dict[str, dict[str, list[str]]]
"""What is wrong, by step and combination."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Lowers every step, one line each.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0, or 1 where something is wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if min(options.devices, options.accumulate) < 1:
        parser.error("--devices and --accumulate are at least 1")
    chosen = COMBINATIONS if options.all else ((options.devices, options.precision),)
    flag = f"--xla_force_host_platform_device_count={max(devices for devices, _ in chosen)}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    # only what is asked for: a configuration may have remat on
    asked = {"remat": options.remat, "accumulate": options.accumulate}
    changes = {name: value for name, value in asked.items() if value > 1 or value is True}
    found: Found = {}
    names = []
    for devices, precision in chosen:
        for name, step, shapes, donate in steps(devices, {**changes, "precision": precision}):
            names.append(name)
            if options.only not in name:
                continue
            start = time.perf_counter()
            text, wrong = lower(step(), *shapes(), donate=donate)
            wrong += not_in(precision, text)
            column = f"{devices} x {precision}"
            found.setdefault(name, {})[column] = wrong
            spent = f"{len(text):,} characters, {time.perf_counter() - start:.0f} s"
            print(f"{column} {name}: {'; '.join(wrong) or 'lowered'} ({spent})", flush=True)
    if not found:
        there = ", ".join(dict.fromkeys(names))
        parser.error(f"no step has {options.only!r} in its name; there are {there}")
    if options.all:
        print("\n" + markdown(table(found)))
    return int(any(wrong for columns in found.values() for wrong in columns.values()))


def _parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.lowering",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAME", default="", help="steps whose name contains this")
    parser.add_argument("--devices", type=int, default=1, help="how many devices share a batch")
    parser.add_argument("--remat", action="store_true", help="trainings compute blocks twice")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of computation"
    )
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a training's batch")
    parser.add_argument(
        "--all",
        action="store_true",
        help="both precisions, on 1 and 4 devices, whatever --devices and --precision say",
    )
    return parser


def not_in(precision: str, text: str) -> list[str]:
    """One line where a step that should compute in bfloat16 has no convolution that does.

    Example:
      >>> not_in("bfloat16", "%1 = stablehlo.convolution(%0) : tensor<8xf32>")
      ['no convolution is in bfloat16']
    """
    lines = (line for line in text.splitlines() if "stablehlo.convolution" in line)
    if precision != "bfloat16" or not text or any("bf16>" in line for line in lines):
        return []
    return ["no convolution is in bfloat16"]


def table(found: Found) -> pd.DataFrame:
    """A row per step, a column per combination: "lowers", or what is wrong.

    Example:
      >>> table({"unet": {"1 x float32": [], "4 x float32": ["double precision"]}}).values.tolist()
      [['unet', 'lowers', 'double precision']]
    """
    return pd.DataFrame(
        [
            {"step": name, **{key: "; ".join(wrong) or "lowers" for key, wrong in columns.items()}}
            for name, columns in found.items()
        ]
    )


Step = tuple[str, Callable[[], Callable[..., Any]], Callable[[], tuple[Any, ...]], bool]


def steps(devices: int, changes: dict[str, Any]) -> Iterable[Step]:
    """(name, makes the mapped step, makes the shapes, whether it must donate) of all steps."""
    # behind the command line, which sets the number of simulated devices
    from experiments import paper_steps

    for name, (study, spec) in paper_steps.studies().items():
        yield from steps_of(name, study, spec, devices, changes)


def steps_of(
    name: str, study: Any, spec: Any, devices: int, changes: dict[str, Any]
) -> Iterable[Step]:
    """The steps of one study, see `steps`."""
    from experiments import paper_steps
    from fairrecon_jax.runtime.devices import map_rows, map_step

    trainings = {f"train {k}": v for k, v in paper_steps.trainings_of(study, spec).items()}
    tuned = {f"fine-tune {k}": v for k, v in paper_steps.fine_tunings_of(study, spec).items()}
    for key, one in (trainings | tuned).items():
        one = one.but(**changes)
        yield (
            f"{name} {key}",
            lambda one=one: map_step(one.step(), devices),  # type: ignore[misc]
            lambda one=one: (one.state(), one.batch()),  # type: ignore[misc]
            True,
        )
    tandem = paper_steps.tandem_steps_of(study, spec, changes.get("precision", "float32"))
    for key, (step, inputs, batch) in tandem.items():
        yield (
            f"{name} tandem {key}",
            lambda step=step: map_rows(step, devices),  # type: ignore[misc]
            lambda inputs=inputs, batch=batch: (inputs, batch),  # type: ignore[misc]
            False,
        )


if __name__ == "__main__":
    sys.exit(main())
