"""One piece of a study: its name, what it needs, what makes it, and the record that says it is
done.

A name reads "<verb> <model> with <mitigation> at <level>", each part but the verb where the piece
has it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.atomic import write_atomic

COMMANDS = {"phantom": "prepare", "cohort": "prepare", "choose": "mitigate"}
"""The command that makes a piece, by verb, where it is not called like the verb."""
KEPT = ("phantom", "cohort", "train", "import", "mitigate")
"""Verbs of pieces that are written once: made again they leave what is there, and refuse what was
made with other choices.
"""


def parts(name: str) -> tuple[str, str, str, str]:
    """(verb, model, mitigation, level) of a piece's name, "" where it has none."""
    head, _, level = name.partition(" at ")
    head, _, mitigation = head.partition(" with ")
    verb, _, model = head.partition(" ")
    return verb, model, mitigation, level


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Picks pieces by the parts of their names, each compared for equality.

    Attributes:
      verbs: of the pieces.
      mitigated: whether those with a mitigation are meant, or those without.
      model: "" for all.
      mitigation: in the configuration, with whatever weight; "" for all.
      level: as it stands in names; "" for all.
    """

    verbs: tuple[str, ...]
    mitigated: bool = False
    model: str = ""
    mitigation: str = ""
    level: str = ""

    def __call__(self, name: str) -> bool:
        """Whether the piece of this name is one of them."""
        verb, model, column, level = parts(name)
        pairs = (
            (self.model, model),
            (self.mitigation, column.partition("@")[0]),
            (self.level, level),
        )
        return (
            verb in self.verbs
            and bool(column) == self.mitigated
            and all(want in ("", has) for want, has in pairs)
        )

    def __str__(self) -> str:
        words = (("", self.model), ("with ", self.mitigation), ("at ", self.level))
        return " ".join(["/".join(self.verbs), *(before + word for before, word in words if word)])


@dataclasses.dataclass(frozen=True)
class Piece:
    """One piece of a study.

    Attributes:
      name: unique in the study, e.g. "train unet at 8".
      kind: pieces of one kind take about equally long.
      digest: of everything the result depends on.
      run: makes it.
      together: whether all processes of a run make it, and not process 0 alone.
      needs: names of the pieces it is made from.
    """

    name: str
    kind: str
    digest: str
    run: Callable[[], Any]
    together: bool = False
    needs: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """The first word of the name."""
        return parts(self.name)[0]

    @property
    def command(self) -> str:
        """The command that makes it."""
        return "mitigate" if parts(self.name)[2] else COMMANDS.get(self.verb, self.verb)

    def record(self, workdir: Path) -> Path:
        """The file that says the piece is done."""
        return workdir / "pieces" / f"{self.name.replace(' ', '_')}.json"

    def done(self, workdir: Path) -> dict[str, Any] | None:
        """The piece's record if it is done and nothing it depends on has changed, else None."""
        found = self.recorded(workdir)
        return found if found.get("digest") == self.digest else None

    def recorded(self, workdir: Path) -> dict[str, Any]:
        """What the record says, {} where there is none or it was spoilt."""
        try:
            found = json.loads(self.record(workdir).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return (
            found
            if isinstance(found, dict) and isinstance(found.get("seconds"), (int, float))
            else {}
        )

    def make(self, workdir: Path, dependants: Sequence[Piece] = ()) -> None:
        """Makes it and writes the record; every process of a run calls this.

        The records of the piece and of its dependants go before anything is overwritten, so that a
        piece is never done on what was there before. A piece that is written once and is done
        already changes nothing, and its dependants stay done.
        """

        def forget() -> None:
            for piece in (self, *dependants):
                piece.record(workdir).unlink(missing_ok=True)

        def finish() -> None:
            if self.verb in KEPT and self.done(workdir) is None:
                forget()
            write_atomic(
                self.record(workdir), json.dumps({"digest": self.digest, "seconds": seconds})
            )

        started = time.monotonic()
        if self.verb not in KEPT:
            processes.on_primary(forget, f"begin {self.name!r}")
        if self.together:
            self.run()
        else:
            processes.on_primary(self.run, f"make {self.name!r}")
        seconds = round(time.monotonic() - started, 1)
        processes.on_primary(finish, f"finish {self.name!r}")


def needing(names: Iterable[str], pieces: Sequence[Piece]) -> list[Piece]:
    """The named pieces and all that are made from them, directly or not; `pieces` are in the order
    they are made.
    """
    found = set(names)
    for piece in pieces:
        if found.intersection(piece.needs):
            found.add(piece.name)
    return [piece for piece in pieces if piece.name in found]


def needed(names: Iterable[str], pieces: Sequence[Piece]) -> list[Piece]:
    """The named pieces and all that they are made from, directly or not; `pieces` are in the order
    they are made.
    """
    found = set(names)
    for piece in reversed(pieces):
        if piece.name in found:
            found.update(piece.needs)
    return [piece for piece in pieces if piece.name in found]
