"""Lowers the paper's training and tandem steps at full size for accelerators that need not be
there, and says what would go wrong on them. Nothing is compiled or computed.

    python -m experiments.lowering [--only NAME] [--devices N]

About 1 minute of processor time for each of the ten trainings and six tandem steps; N devices are
simulated on the CPU.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax

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
    try:
        text = traced.lower(lowering_platforms=PLATFORMS).as_text()
    except NotImplementedError as error:
        # as JAX says of Python that the step calls
        return "", [f"does not lower: {str(error).splitlines()[0]}"]
    wrong = list(problems(text))
    if donate:
        wrong += not_donated(text, traced.jaxpr, count)
    return text, wrong


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Lowers every step, one line each.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0, or 1 where something is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.lowering", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="steps whose name contains this")
    parser.add_argument("--devices", type=int, default=1, help="how many devices share a batch")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--accumulate", type=int, default=1)
    options = parser.parse_args(arguments)
    flag = f"--xla_force_host_platform_device_count={options.devices}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    changes = {name: getattr(options, name) for name in ("remat", "precision", "accumulate")}
    failed = False
    for name, step, shapes, donate in steps(options.devices, changes):
        if options.only is None or options.only in name:
            text, wrong = lower(step(), *shapes(), donate=donate)
            failed |= bool(wrong)
            print(f"{name}: {'; '.join(wrong) or 'lowered'} ({len(text):,} characters)", flush=True)
    return int(failed)


Step = tuple[str, Callable[[], Callable[..., Any]], Callable[[], tuple[Any, ...]], bool]


def steps(devices: int, changes: dict[str, Any]) -> Iterable[Step]:
    """(name, makes the mapped step, makes the shapes, whether it must donate) of all steps."""
    # behind the command line, which sets the number of simulated devices
    from experiments import paper_steps
    from fairrecon_jax.runtime.devices import map_rows, map_step

    for study in paper_steps.NAMES:
        for name, one in paper_steps.trainings(study).items():
            one = one.but(**changes)
            yield (
                f"{study} train {name}",
                lambda one=one: map_step(one.step(), devices),  # type: ignore[misc]
                lambda one=one: (one.state(), one.batch()),  # type: ignore[misc]
                True,
            )
        for name, (step, inputs, batch) in paper_steps.tandem_steps(study).items():
            yield (
                f"{study} tandem {name}",
                lambda step=step: map_rows(step, devices),  # type: ignore[misc]
                lambda inputs=inputs, batch=batch: (inputs, batch),  # type: ignore[misc]
                False,
            )


if __name__ == "__main__":
    sys.exit(main())
