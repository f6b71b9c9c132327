"""What the paper's trainings and evaluations cost on accelerators: operations, traffic and memory
counted from the programs, times from the published peaks. Nothing is compiled or computed.

    python -m experiments.roofline [--only NAME]

About 2 minutes of processor time for each of ten trainings. Prints tables in Markdown.

What is counted:
  - operations of a training step: XLA's own count of the lowered module (a multiplication and an
    addition are two);
  - traffic: each convolution, matrix product and reduction reads its operands and writes its result
    once and all else, such as the interpolation of the degradations, is fused with them; the
    optimiser reads and writes its state and the gradient once. A lower bound;
  - memory: parameters, moments, averages and one gradient; the arrays that the loss keeps for its
    gradient, of the phase that keeps most; and twice the largest array, which the backward pass
    has in flight. XLA's own buffers and a library's workspace are not in it.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from experiments.paper_steps import Training, studies, trainings
from fairrecon_jax.reconstructors import IrsdeReconstructor, Reconstructor
from fairrecon_jax.training import memory
from fairrecon_jax.training.memory import HEAVY, Shapes, bytes_of, inner, largest, size

PLATFORMS = ("cuda", "tpu")
UTILISATION = 0.4
"""Share of the bound that trainings of convolutional networks reach, for the hours; nobody has
measured these programs on these machines.
"""


@dataclasses.dataclass(frozen=True)
class Machine:
    """An accelerator by its published peaks.

    Attributes:
      name: as in the table.
      peaks: operations a second by precision, dense; "float32" is what JAX computes products of
        float32 in by default: TF32 on the GPUs, bfloat16 passes on the TPU.
      bandwidth: bytes a second.
      memory: bytes.
    """

    name: str
    peaks: dict[str, float]
    bandwidth: float
    memory: float


MACHINES = (
    # NVIDIA A100 Tensor Core GPU datasheet, SXM 80 GB
    Machine("A100", {"float32": 156e12, "bfloat16": 312e12}, 2.039e12, 80e9),
    # NVIDIA H100 Tensor Core GPU datasheet, SXM, halves of the numbers with sparsity
    Machine("H100", {"float32": 494e12, "bfloat16": 989e12}, 3.35e12, 80e9),
    # Google Cloud documentation, TPU v5e
    Machine("TPU v5e", {"float32": 197e12, "bfloat16": 197e12}, 0.819e12, 16e9),
)
CARDS = (16e9, 40e9, 80e9)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one training step takes.

    Attributes:
      operations: multiplications and additions.
      traffic: bytes, see the module.
      parameters: bytes.
      optimiser: bytes of moments and averages.
      gradient: bytes.
      kept: bytes that the loss keeps for its gradient.
      largest: bytes of the largest array.
    """

    operations: float
    traffic: float
    parameters: int
    optimiser: int
    gradient: int
    kept: int
    largest: int

    @property
    def memory(self) -> int:
        """Bytes in all."""
        state = self.parameters + self.optimiser + self.gradient
        return state + self.kept + 2 * self.largest

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / self.traffic

    def seconds(self, machine: Machine, precision: str) -> tuple[float, str]:
        """The bound on a step, and what sets it."""
        compute = self.operations / machine.peaks[precision]
        traffic = self.traffic / machine.bandwidth
        return max(compute, traffic), "compute" if compute >= traffic else "bandwidth"


def counted(function: Callable[..., Any], *shapes: Shapes) -> tuple[float, Any]:
    """(multiplications and additions of a function, its program); see `operations`."""
    traced = jax.jit(function).trace(*shapes)
    lowered = traced.lower(lowering_platforms=PLATFORMS)
    return float(lowered.cost_analysis()["flops"]), traced.jaxpr


def operations(function: Callable[..., Any], *shapes: Shapes) -> float:
    """Multiplications and additions of a function, by XLA's count; the body of a loop counts once.

    Example:
      >>> left, right = (jax.ShapeDtypeStruct(shape, "float32") for shape in ((8, 16), (16, 4)))
      >>> operations(lambda a, b: a @ b, left, right)
      1024.0
    """
    return counted(function, *shapes)[0]


def traffic(jaxpr: Any) -> int:
    """Bytes that the heavy operations of a program read and write, see the module."""
    total = 0
    for eqn in jaxpr.eqns:
        within = list(inner(eqn))
        if within:
            times = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
            total += times * sum(map(traffic, within))
        elif eqn.primitive.name.startswith(HEAVY):
            total += sum(bytes_of(x) for x in (*eqn.invars, *eqn.outvars))
    return total


def kept(training: Training, variables: Shapes) -> int:
    """Bytes that the loss keeps for its gradient, for one part of the batch."""
    batch = training.batch(training.config.batch_size // training.config.accumulate)
    return memory.kept(training.model, training.config, variables, batch)[0]


def cost(training: Training, state: Shapes, plain: Cost | None = None) -> Cost:
    """Counts one training step from the shapes of its state; with `plain`, the count of the same
    step in one part, whose operations and traffic a step in parts has.
    """
    batch = {
        name: jax.ShapeDtypeStruct((1, *x.shape), x.dtype) for name, x in training.batch().items()
    }
    parameters = size(state.params)
    trained = sum(size(state.params[name]) for name in state.opt_state)
    optimiser = size(state.opt_state) + size(state.ema)
    if plain is None:
        update = 2 * (parameters + optimiser) + 2 * trained
        count, program = counted(training.one_device(), state, batch)
        moved, high = traffic(program) + update, largest(program)
    else:
        count, moved, high = plain.operations, plain.traffic, plain.largest
        high = high // training.config.accumulate
    # in parts, the sum of gradients stays beside that of a part
    gradient = trained * (2 if training.config.accumulate > 1 else 1)
    return Cost(
        count, moved, parameters, optimiser, gradient, kept(training, state.variables), high
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first row is the header."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fits(memory: float) -> str:
    """The smallest card that holds so much in nine tenths of its memory."""
    room = [card for card in CARDS if memory <= 0.9 * card]
    return f"{room[0] / 1e9:.0f} GB" if room else "none"


def row(name: str, training: Training, found: Cost, steps: Sequence[int]) -> list[str]:
    """One training step as cells, with the hours of trainings of so many steps."""
    precision = training.config.precision
    times = []
    for machine in MACHINES:
        seconds, bound = found.seconds(machine, precision)
        hours = [f"{seconds * count / 3600 / UTILISATION:,.1f}" for count in steps]
        small = "" if found.memory <= 0.9 * machine.memory else ", too small"
        times.append(f"{1e3 * seconds:.1f} ms ({bound}{small}), {' / '.join(hours)} h")
    state = found.parameters + found.optimiser + found.gradient
    return [
        name,
        str(training.config.batch_size),
        f"{found.operations / 1e12:.2f}",
        f"{found.traffic / 1e9:.1f}",
        f"{found.intensity:.0f}",
        f"{state / 1e9:.2f} + {found.kept / 1e9:.1f}",
        f"{found.memory / 1e9:.1f}",
        fits(found.memory),
        *times,
    ]


HEAD = [
    "step",
    "batch",
    "TFLOP",
    "GB moved",
    "FLOP / byte",
    "GB of state + kept",
    "GB in all",
    "fits",
    *(machine.name for machine in MACHINES),
]
CHANGES: dict[str, dict[str, Any]] = {
    "": {},
    ", remat": {"remat": True},
    ", bfloat16": {"precision": "bfloat16"},
    ", in 4 parts": {"accumulate": 4},
}


def alike() -> dict[str, list[Training]]:
    """Trainings whose steps cost the same, under their names: those of both studies differ in the
    degradation, whose share is small.
    """
    found: dict[Any, dict[str, Training]] = {}
    for study in studies():
        for name, one in trainings(study).items():
            kind = (type(one.model), getattr(one.model, "backbone", ""), one.config.batch_size)
            found.setdefault(kind, {})[f"{study} {name}"] = one
    return {", ".join(several): list(several.values()) for several in found.values()}


IMAGES = {"chexpert": 57_300, "ucsf_pdgm": 10_500}
"""Validation and test: 30% of 191,027 radiographs; of 495 patients, with 71 slices each."""


def evaluation(names: str, training: Training, state: Shapes) -> Iterator[list[str]]:
    """Rows on the reconstruction of one image, and of all that are evaluated at one level, for each
    study that has this reconstructor; none for a diagnoser.
    """
    model, image = training.model, training.batch(1)["image"]
    if not isinstance(model, Reconstructor):
        return
    times = 1
    if isinstance(model, IrsdeReconstructor):
        time = jax.ShapeDtypeStruct((1,), "float32")
        count = operations(model.noise_estimate, state.variables, image, image, time)
        times = model.sampler.steps
    else:
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
        count = operations(model.reconstruct, state.variables, image, keys)
    for name in names.split(", "):
        total = count * times * IMAGES[name.split()[0]]
        hours = [total / m.peaks["float32"] / 3600 / UTILISATION for m in MACHINES]
        yield [
            name,
            f"{count / 1e9:.0f} x {times}",
            f"{total:.2g}",
            *(f"{hour:,.2f} h" if hour < 1 else f"{hour:,.0f} h" for hour in hours),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments.roofline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAME", default="", help="trainings whose name has this")
    parser.add_argument("--plain", action="store_true", help="without remat, bfloat16 and parts")
    options = parser.parse_args(arguments)
    there = alike()
    chosen = {name: several for name, several in there.items() if options.only in name}
    if not chosen:
        names = ", ".join(there)
        parser.error(f"no training has {options.only!r} in its name; there are {names}")
    rows: list[list[str]] = []
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    for name, several in chosen.items():
        plain: Cost | None = None
        state = several[0].state()
        for words, changes in ({"": {}} if options.plain else CHANGES).items():
            changed = several[0].but(**changes)
            found = cost(changed, state, plain if changed.config.accumulate > 1 else None)
            plain = plain or found
            line = row(name + words, changed, found, [one.config.steps for one in several])
            print(f"| {' | '.join(line)} |", flush=True)
        rows += evaluation(name, several[0], state)
    head = ["reconstruction", "GFLOP an image", "FLOP of a level", *(m.name for m in MACHINES)]
    print("\n" + table([head, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
