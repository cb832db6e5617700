"""`python -m lab.demo`: bring everything up, tell the story, and leave it running or (--once) stop it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lab import Lab
from lab.commandline import Parser
from lab.demo import nodes, story
from lab.demo.stage import REPOSITORY, Stage, stop
from lab.errors import LabError, UsageError


def run(folder: Path, *, once: bool) -> None:
    """Play the demo; what failed half-way leaves nothing running."""
    stop(folder)
    hindrance = nodes.hindrance()
    if hindrance:
        print(f"pods are simulated here: {hindrance}", file=sys.stderr, flush=True)
    kind = "simulated" if hindrance else "real"
    lab = Lab.up(folder, nodes=kind, report=lambda line: print(line, file=sys.stderr, flush=True))
    finished = False
    try:
        stage = Stage(lab, folder, image=None if hindrance else nodes.load(lab))
        story.kinds(stage)
        story.operator(stage)
        app = story.people(stage)
        story.samples(stage)
        story.rotation(stage)
        story.installation(stage, app)
        story.replacement(stage)
        story.pushes(stage, app)
        story.outlook(stage, once=once)
        finished = True
    finally:
        if once or not finished:
            stop(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = Parser(prog="python -m lab.demo", description=__doc__, allow_abbrev=False)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--once", action="store_true", help="run through and stop everything")
    what.add_argument("--down", action="store_true", help="stop what an earlier demo left running")
    parser.add_argument("--dir", type=Path, default=REPOSITORY / ".demo", help="where it lives; default: .demo")
    options = parser.parse_args(arguments)
    try:
        if options.down:
            print("the demo is stopped" if stop(options.dir) else "no demo was running")
        else:
            run(options.dir.resolve(), once=options.once)
    except LabError as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 2 if isinstance(problem, UsageError) else 1
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
