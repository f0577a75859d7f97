"""``python -m benchmarks``: list and run all; ``python -m benchmarks NAME [options]``: run one."""

from __future__ import annotations

import ast
import importlib
import sys
from difflib import get_close_matches
from pathlib import Path


def available() -> dict[str, str]:
    """The benchmarks by name, each with the first line of its docstring; imports none of them."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "main" in defined and not file.stem.startswith("_"):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def run(name: str, arguments: list[str]) -> int:
    """Run one benchmark; its exit status."""
    status: int = importlib.import_module(f"benchmarks.{name}").main(arguments)
    return status


def run_all(names: dict[str, str]) -> int:
    """List and run all of them; the worst exit status."""
    for name, what in names.items():
        print(f"{name:<16} {what}")
    worst = 0
    for name in names:
        print(f"\n== {name} ==\n", flush=True)
        worst = max(worst, run(name, []))
    return worst


def start(arguments: list[str]) -> int:
    """What the command line asks for."""
    names = available()
    if not arguments:
        return run_all(names)
    name, *rest = arguments
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f"no benchmark {name!r}{hint} There are: {', '.join(names)}", file=sys.stderr)
        return 2
    return run(name, rest)


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
