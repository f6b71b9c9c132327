"""The structure of the package, from its imports alone: `python -m experiments.structure [--list]`.

A room is a module or folder at the top of the package. An arrow is a room that imports another. A
room's floor is one above the highest that it imports.
"""

import argparse
import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fairrecon_jax"


def room(module: str) -> str:
    """The room of a dotted module name below the package."""
    return module.split(".")[0]


def arrows() -> dict[str, set[str]]:
    """By room, the rooms that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        here = room(name)
        if here == "__init__":  # the face lists every room for type checkers and imports none
            continue
        found[here]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                whole = node.module == "fairrecon_jax"
                names = [f"{node.module}.{a.name}" for a in node.names] if whole else [node.module]
            inside = [n.removeprefix("fairrecon_jax.") for n in names if "fairrecon_jax." in n]
            found[here] |= {room(name) for name in inside} - {here}
    return found


def floors(graph: dict[str, set[str]]) -> tuple[dict[str, int], set[str]]:
    """The floor of each room, and the rooms in circles (on no floor)."""
    known: dict[str, int] = {}
    while ready := [r for r in graph if r not in known and graph[r] <= set(known)]:
        known |= {r: 1 + max((known[n] for n in graph[r]), default=0) for r in ready}
    return known, set(graph) - set(known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print every room with its arrows")
    graph = arrows()
    levels, circles = floors(graph)
    top = {p for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    counts = f"{max(levels.values())} floors, {len(graph)} rooms, {sum(map(len, graph.values()))}"
    print(
        f"{counts} arrows, {len(circles)} rooms in circles, {len(top)} modules and folders at top"
    )
    for name in sorted(graph, key=lambda r: levels.get(r, 99)) if parser.parse_args().list else ():
        print(f"{levels.get(name, 'circle')}  {name}: {', '.join(sorted(graph[name]))}")
