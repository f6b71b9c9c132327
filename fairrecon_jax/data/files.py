"""Finding files as tables and people write them: through links, in any capitals, with either slash,
with letters and accents stored in either way.
"""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fairrecon_jax.runtime.text import normal


def inside(path: str) -> bool:
    """Whether a path written in a table stays in the data folder: not absolute and without "..".

    Args:
      path: path with "/" or "\\" between its parts.
    """
    parts = PurePosixPath(path.replace("\\", "/"))
    return not parts.is_absolute() and ".." not in parts.parts


def walk(root: Path) -> Iterator[str]:
    """All files below a folder, links followed, as paths from it with "/", in sorted order.

    A link to a folder that it lies in, or that the whole folder lies in, is not followed.
    """

    def below(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        with os.scandir(os.path.join(root, folder)) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not _is_folder(entry):
                # a pipe or a device would be waited for without end; what links nowhere is told
                if entry.is_symlink() or entry.is_file():
                    yield path
                continue
            place = os.stat(entry.path)
            # ancestors alone: one folder may be linked twice, under two names
            if (place.st_dev, place.st_ino) not in above:
                yield from below(path, above | {(place.st_dev, place.st_ino)})

    yield from below("", frozenset(holding(root)))


def holding(root: Path) -> list[tuple[int, int]]:
    """A folder and all that it lies in, as device and number: a link from within to one of them
    leads out to everything else, up to the whole disk.
    """
    real = Path(root).resolve()
    return [_place(path) for path in (real, *real.parents)]


def _place(folder: Path) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or links to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def matching(root: Path, pattern: str) -> Iterator[Path]:
    """Files below a folder whose name, or path where the pattern has a "/", fits a pattern in any
    capitals; links are followed, and "*" stands for folders too.
    """
    lower = pattern.lower()
    for path in walk(root):
        if fnmatch.fnmatchcase((path if "/" in lower else path.rsplit("/", 1)[-1]).lower(), lower):
            yield root / path


def in_folder(folder: Path, pattern: str) -> list[Path]:
    """Files right in a folder whose name fits a pattern in any capitals, sorted."""
    lower = pattern.lower()
    return sorted(
        path
        for path in folder.iterdir()
        if fnmatch.fnmatchcase(path.name.lower(), lower) and path.is_file()
    )


class Finder:
    """Looks up files below a folder by what a table calls them.

    Args:
      root: the folder.
      under: folder below it that names are looked up in, "" for all of it.
    """

    def __init__(self, root: Path, under: str = "") -> None:
        self._root, self._under = root, under.strip("/")
        self._listed = False
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)

    def find(self, written: str) -> tuple[str, str]:
        """The file of a name.

        Exactly as it is written; else in any capitals and accents, with or without its ending, and
        less folders in front that are not there. A name without any folder is looked for in all of
        them.

        Args:
          written: a name or path as a table has it, with "/" or "\\".

        Returns:
          (path from the root, ""), or ("", why there is none).
        """
        name = written.strip().replace("\\", "/").removeprefix("./")
        if not name:
            return "", "no file is named"
        if not inside(name):
            return "", f"{written} leaves the data folder"
        whole = f"{self._under}/{name}" if self._under else name
        try:
            if (self._root / whole).is_file():
                return whole, ""
        # longer than any name of a file
        except OSError:
            return "", f"no file {written[:60]}..."
        if not self._listed:
            self._list()
        parts = _key(name).split("/")
        # a name of several parts keeps two of them: its last part alone may be another patient's
        places = ["/".join(parts[start:]) for start in range(max(len(parts) - 1, 1))]
        for index in (self._by_path, self._by_name) if len(parts) == 1 else (self._by_path,):
            for place in places:
                for key in (place, stem(place)):
                    # an ending is taken off for good reason only: "1.5" is a name too
                    found = index.get(key, [])
                    if len(found) == 1:
                        return found[0], ""
                    if found:
                        return "", f"{written} may be {' or '.join(found[:3])}"
        return "", f"no file {written}" + (f" below {self._under}" if self._under else "")

    def files(self) -> list[str]:
        """All files below the folder, as paths from the root."""
        top = self._root / self._under if self._under else self._root
        below = walk(top) if top.is_dir() else ()
        return [f"{self._under}/{path}" if self._under else path for path in below]

    def _list(self) -> None:
        self._listed = True
        for path in self.files():
            below = _key(path.removeprefix(f"{self._under}/") if self._under else path)
            name = below.rsplit("/", 1)[-1]
            # by the whole path too: a table may repeat the folder
            for key in {below, stem(below), _key(path), stem(_key(path))}:
                self._by_path[key].append(path)
            for key in {name, stem(name)}:
                self._by_name[key].append(path)


def _key(name: str) -> str:
    return normal(name).casefold()


def stem(path: str) -> str:
    """A path without its ending, of which ".nii.gz" is one.

    Example:
      >>> stem("a.b/c.nii.gz"), stem("a.b/c")
      ('a.b/c', 'a.b/c')
    """
    folder, slash, name = path.rpartition("/")
    if name.lower().endswith(".nii.gz"):
        return folder + slash + name[: -len(".nii.gz")]
    return folder + slash + (name.rsplit(".", 1)[0] if "." in name.lstrip(".") else name)
