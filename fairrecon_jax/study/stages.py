"""One stage of a study: its name, what its result depends on, what makes it, and the record that
says it is done.

A record holds the digest of the stage's declared inputs, the output it made, and the outputs of the
stages it was made from. A stage is up to date when all three still agree: so a stage that is made
again and comes out the same leaves what depends on it up to date, and one that comes out otherwise,
or was interrupted, does not.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairrecon_jax import keys
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.atomic import file_digest, write_atomic
from fairrecon_jax.types import Cell, InputError

COMMANDS = {"phantom": "prepare", "cohort": "prepare", "choose": "mitigate"}
"""The command that makes a stage, by verb, where it is not called like the verb."""


RECORDED = {"title", "digest", "made_from", "output", "seconds", "files", "logs", "seal"}
"""The fields of a record."""


def read_record(path: Path) -> dict[str, Any]:
    """What the record of a stage says, {} where there is none or it was spoilt."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    whole = isinstance(content, dict) and isinstance(content.get("seconds"), int | float)
    if not whole or set(content) - RECORDED:
        return {}  # as if it had never been made
    # records of earlier versions have no seal
    return content if content.get("seal", seal(content)) == seal(content) else {}


def seal(record: Mapping[str, Any]) -> str:
    """The digest of a record's other fields."""
    return keys.digest({name: value for name, value in record.items() if name != "seal"})


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the record of a stage, with its seal."""
    write_atomic(path, json.dumps({**content, "seal": seal(content)}, indent=1))


def digest_of(path: Path) -> str:
    """The digest of a file's content."""
    return file_digest(path)[:16]


# eq=False: inputs are dictionaries, which have no hash, and `plan` has stages as keys
@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a study.

    Attributes:
      verb: what is done: "phantom", "cohort", "train", "import", "mitigate", "predict", "choose",
        "assess" or "report".
      run: does it.
      inputs: everything its result depends on beside the stages it needs, see `keys.identity`.
      model: the diagnoser that is trained, "" for other stages.
      training: the seed of a diagnoser that is trained several times, else None.
      cell: the cell of the grid that it belongs to, None for others.
      together: whether all processes of a run take part, and not process 0 alone.
      needs: the stages it is made from.
      output: the digest of what it made; None where every run makes something new.
      check: refuses what would fail in `run`, before anything of a run is made; None where there is
        nothing to look at.
      place: the file or folder that it makes.
      files: the files it wrote, whose sizes and digests the record keeps.
      logs: files that tell how it was made; they are recorded as well, and nothing is made again
        for them.
      spent: the seconds that making it took, by its logs, where `run` may only take over what an
        earlier one made.
      clear: takes away what is left of a damaged result that `run` would otherwise take for a
        finished one.
    """

    verb: str
    run: Callable[[], Any]
    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model: str = ""
    training: int | None = None
    cell: Cell | None = None
    together: bool = False
    needs: tuple[Stage, ...] = ()
    output: Callable[[], str] | None = None
    check: Callable[[], Any] | None = None
    place: Path | None = None
    files: Callable[[], Iterable[Path]] = tuple
    logs: Callable[[], Iterable[Path]] = tuple
    spent: Callable[[], float] = float
    clear: Callable[[], Any] | None = None

    @property
    def title(self) -> str:
        """The stage in words, unique in a study, e.g. "train unet at 8"."""
        training = "" if self.training is None else f", training {self.training}"
        what = self.cell.title if self.cell else self.model
        return " ".join(filter(None, (self.verb, what))) + training

    @property
    def stem(self) -> str:
        """The stage as the stem of a file name, unique in a study."""
        training = "" if self.training is None else f"training{self.training}"
        what = self.cell.stem if self.cell else self.model
        return "__".join(filter(None, (self.verb, what, training)))

    @property
    def kind(self) -> tuple[str, str, str]:
        """Stages of one kind take about equally long."""
        cell = self.cell
        # predicting takes as long with mitigated weights as with others
        tried = cell.mitigation if cell and self.verb != "predict" else ""
        return self.verb, cell.reconstructor if cell else self.model, tried

    @property
    def command(self) -> str:
        """The command that makes it."""
        if self.cell is not None and self.cell.is_mitigated:
            return "mitigate"
        return COMMANDS.get(self.verb, self.verb)

    @functools.cached_property
    def digest(self) -> str:
        """The digest of the declared inputs."""
        return keys.digest(self.verb, self.inputs)

    def record(self, folder: Path) -> Path:
        """The file that says the stage is done."""
        return folder / f"{self.stem}.json"

    def recorded(self, folder: Path) -> dict[str, Any]:
        """What the record says, {} where there is none or it was spoilt."""
        return read_record(self.record(folder))

    def is_done(self, folder: Path) -> bool:
        """Whether the stage was made from what its inputs and the stages it needs are now, and what
        it made is still there and whole.
        """
        return not self.why(folder)

    def why(self, folder: Path) -> str:
        """Why the stage has to be made, "" where it is done."""
        content = self.recorded(folder)
        if not content:
            return "never made"
        if content.get("digest") != self.digest:
            return "what it depends on was changed"
        # by title: one stage more or less to be made from is a change as well
        made_from = {need.title: need.recorded(folder).get("output") for need in self.needs}
        if content.get("made_from") != made_from:
            return "what it is made from was made anew"
        whole = self._is_whole(content.get("output")) and not self.damage(folder)
        return "" if whole else "what it made is gone or changed"

    def damage(self, folder: Path, deep: bool = False, which: str = "files") -> list[str]:
        """Files of the stage that are gone, or have another size than was recorded: "PATH is
        gone"; with `deep` those with another content too. Of its files, or of its "logs".
        """
        told = []
        for name, (size, digest) in self.recorded(folder).get(which, {}).items():
            path = folder.parent / name
            try:
                found = path.stat().st_size
            except OSError:
                told.append(f"{name} is gone")
                continue
            if found != size:
                told.append(f"{name} has {found} bytes, not {size}")
            elif deep and digest_of(path) != digest:
                told.append(f"{name} has another content than was written")
        return told

    def _is_whole(self, recorded: Any) -> bool:
        """Whether the output is the recorded one."""
        if self.output is None:
            return True
        try:
            return self.output() == recorded
        # lost, cut, or no longer what it was
        except (OSError, LookupError, ValueError, TypeError, AttributeError):
            return False

    def make(self, folder: Path) -> None:
        """Makes it and writes the record; every process of a run calls this.

        The record goes before anything is overwritten, so that a stage is never done on what was
        there before; it comes back where the making was refused.
        """

        def begin() -> None:
            # looked at before the record goes, which knows what there should be
            if self.clear is not None and self.damage(folder, deep=True):
                self.clear()
            self.record(folder).unlink(missing_ok=True)

        def finish() -> None:
            # never the same twice, so that all that needs this stage is made again
            output = self.output() if self.output else uuid.uuid4().hex
            # A finished training that is asked for again is only read: its time stays what it was.
            earlier = before["seconds"] if before.get("output") == output else 0.0
            content = {
                "title": self.title,
                "digest": self.digest,
                "made_from": {n.title: n.recorded(folder).get("output") for n in self.needs},
                "output": output,
                "seconds": max(seconds, earlier, self.spent()),
                "files": _sizes_and_digests(self.files(), folder.parent),
                "logs": _sizes_and_digests(self.logs(), folder.parent),
            }
            write_record(self.record(folder), content)

        # read before `begin` removes it
        before, started = self.recorded(folder), time.monotonic()
        processes.on_primary(begin, f"begin {self.title!r}")
        try:
            if self.together:
                # collective programs need every process
                self.run()
            else:
                processes.on_primary(self.run, f"make {self.title!r}")
        except InputError:
            # its output and its files say whether it still holds
            if before and processes.is_primary():
                write_record(self.record(folder), before)
            raise
        seconds = round(time.monotonic() - started, 1)
        processes.on_primary(finish, f"finish {self.title!r}")


def _sizes_and_digests(files: Iterable[Path], root: Path) -> dict[str, list[Any]]:
    """[bytes, digest] of files by their names below a folder."""
    return {
        path.relative_to(root).as_posix(): [path.stat().st_size, digest_of(path)]
        for path in sorted(files)
    }


@dataclasses.dataclass(frozen=True)
class StageFilter:
    """Picks stages by their fields, each compared for equality.

    Attributes:
      verbs: of the stages.
      mitigated: whether those with a mitigation are meant, or those without.
      model: reconstructor or diagnoser, "" for all.
      mitigation: in the configuration, with whatever weight; "" for all.
      level: None for all.
    """

    verbs: tuple[str, ...]
    mitigated: bool = False
    model: str = ""
    mitigation: str = ""
    level: float | None = None

    def __call__(self, stage: Stage) -> bool:
        """Whether the stage is one of them."""
        cell = stage.cell
        model = cell.reconstructor if cell else stage.model
        tried = cell.mitigation if cell and cell.is_mitigated else ""
        return (
            stage.verb in self.verbs
            and bool(tried) == self.mitigated
            and self.model in ("", model)
            and self.mitigation in ("", tried)
            and (self.level is None or (cell is not None and cell.level == self.level))
        )

    def __str__(self) -> str:
        level = "" if self.level is None else f"{self.level:g}"
        words = (("", self.model), ("with ", self.mitigation), ("at ", level))
        return " ".join(["/".join(self.verbs), *(before + word for before, word in words if word)])


def dependents(chosen: Iterable[Stage], stages: Sequence[Stage]) -> list[Stage]:
    """The chosen stages and all that are made from them, directly or not.

    Args:
      chosen: some of the stages.
      stages: all, in the order in which they are made.
    """
    titles = {stage.title for stage in chosen}
    # one pass is enough, as every stage comes after those it needs
    for stage in stages:
        if titles.intersection(need.title for need in stage.needs):
            titles.add(stage.title)
    return [stage for stage in stages if stage.title in titles]


def dependencies(chosen: Iterable[Stage], stages: Sequence[Stage]) -> list[Stage]:
    """The chosen stages and all that they are made from, directly or not.

    Args:
      chosen: some of the stages.
      stages: all, in the order in which they are made.
    """
    titles = {stage.title for stage in chosen}
    # backwards, since what a stage needs comes before it
    for stage in reversed(stages):
        if stage.title in titles:
            titles.update(need.title for need in stage.needs)
    return [stage for stage in stages if stage.title in titles]


def seconds_by_kind(stages: Iterable[Stage], folder: Path) -> dict[tuple[str, str, str], float]:
    """How long stages took, by their kind, from the records."""
    seconds: dict[tuple[str, str, str], float] = {}
    for stage in stages:
        if record := stage.recorded(folder):
            seconds[stage.kind] = record["seconds"]
    return seconds
