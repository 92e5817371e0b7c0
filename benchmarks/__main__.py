"""What the library costs, side by side in one run with what it is compared to.

Run it with ``./scripts/bench``. Each figure is the best of several rounds, and the rounds of what
is compared take turns, so that a slow moment of the machine hits all of them; what counts is the
ratios.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from types import ModuleType

from benchmarks import (
    bridge,
    export,
    gateway,
    imports,
    injection,
    memory,
    pages,
    spans,
    translation,
)
from benchmarks.measuring import Goal

PARTS: dict[str, ModuleType] = {
    "spans": spans,
    "injection": injection,
    "memory": memory,
    "translation": translation,
    "export": export,
    "bridge": bridge,
    "pages": pages,
    "gateway": gateway,
    "imports": imports,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; give 1 if a goal was missed and ``--check`` asks for that."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each (default: 15)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    parser.add_argument("--only", choices=PARTS, help="measure this alone")
    arguments = parser.parse_args(argv)
    print(f"Python {platform.python_version()}, best of {arguments.rounds} rounds taken in turns\n")
    goals: list[Goal] = []
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            goals += part.run(arguments.rounds)
            print()
    print("Goals")
    for goal in goals:
        print(f"  {'reached' if goal.reached else 'MISSED '}  {goal.text}")
    return 1 if arguments.check and not all(goal.reached for goal in goals) else 0


if __name__ == "__main__":
    sys.exit(main())
