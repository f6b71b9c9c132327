"""Makes the docstrings of this package read well in the reference; Griffe loads it for `make docs`.

Objects are shown once, in the module that defines them. A room's page begins with the names that
can be imported from the room itself.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

CODE = re.compile(r"(```.*?```|^ *>>> .*?(?=\n\s*\n|\Z)|`[^`]*`)", re.DOTALL | re.MULTILINE)
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
ALIGNED = re.compile(r" {0,2}\w+(?: \w+)? {2,}\S")
COLUMNS = re.compile(r" {2,}")


class Docstrings(griffe.Extension):
    """Changes docstrings after a package was read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Changes every docstring of the package, in place."""
        _walk(pkg)


def _walk(thing: griffe.Object) -> None:
    if thing.docstring:
        thing.docstring.value = readable(thing.docstring.value)
    members = list(thing.members.values())
    if isinstance(thing, griffe.Module) and thing.is_init_module and thing.exports:
        _exports(thing)
    for member in members:
        if isinstance(member, griffe.Object):
            _walk(member)


def readable(text: str) -> str:
    """Markdown of a docstring.

    The first paragraph becomes one line, since summaries show the first line. Lines whose second
    column is aligned with spaces become a list, "<" is no HTML tag, and an example is code.

    Args:
      text: a docstring without its indentation.

    Returns:
      The same words.
    """
    first, blank, rest = text.partition("\n\n")
    parts = CODE.split(_listed(" ".join(first.split("\n")) + blank + rest))
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    # "Example:" would be a note, in which ">>>" quotes
    return EXAMPLE.sub("Examples:", "".join(parts))


def _listed(text: str) -> str:
    """Turns two or more lines in a row with an aligned second column into a list."""
    result: list[str] = []
    run: list[str] = []
    for line in [*text.split("\n"), ""]:
        if ALIGNED.match(line):
            run.append(line)
            continue
        if len(run) > 1:
            pairs = (COLUMNS.split(entry.strip(), maxsplit=1) for entry in run)
            result += ["", *(f"- `{name}`: {words}" for name, words in pairs)]
        else:
            result += run
        run = []
        result.append(line)
    return "\n".join(result[:-1])


def _exports(module: griffe.Module) -> None:
    """Lists the exported names in the module's docstring, each with a link to its definition, and
    shows them only there.
    """
    names = []
    for name in sorted(map(str, module.exports or ()), key=str.lower):
        member = module.members.get(name)
        if isinstance(member, griffe.Alias) and member.final_target.has_docstring:
            names.append(f"[`{name}`][{member.final_target.path}]")
        else:
            names.append(f"`{name}`")
    text = module.docstring.value if module.docstring else ""
    text += f"\n\n**Import from `{module.path}`**: {', '.join(names)}."
    module.docstring = griffe.Docstring(text, parent=module)
    module.exports = None
