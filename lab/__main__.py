"""The lab's command line: `python -m lab up|down|status|build|which`. A thin layer over `Lab` and `lab.binaries`."""

import argparse
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from lab import binaries
from lab.errors import LabError, UsageError
from lab.folder import Folder
from lab.handle import Lab, down, status

OLDER = tuple(release for release in binaries.API_SERVERS if release != binaries.NEWEST)
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """Bad options are an error like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def parser() -> Parser:
    """All commands and options."""
    top = Parser(
        prog="python -m lab", description="A real Kubernetes control plane and a faithful GitHub on this machine."
    )
    commands = top.add_subparsers(
        dest="command", required=True, metavar="up|down|status|build|which", parser_class=Parser
    )

    up = commands.add_parser("up", help="start a lab and return when it is ready")
    up.add_argument(
        "--nodes",
        default="simulated",
        help="simulated (default): pods seem to run; none: no workload controllers; real: pods run (root)",
    )
    up.add_argument(
        "--kubernetes",
        default=binaries.NEWEST,
        metavar="RELEASE",
        help=f"{binaries.NEWEST} (default), or an older API server, with --nodes none: {', '.join(OLDER)}",
    )
    up.add_argument("--without-github", action="store_true", help="Kubernetes alone")
    up.add_argument("--audit", action="store_true", help="log every request to the API server to DIR/audit.log")
    up.add_argument("--api-port", type=_port, metavar="PORT", help="the API server's port (default: any free one)")
    for one in (
        up,
        commands.add_parser("down", help="stop a lab"),
        commands.add_parser("status", help="say how a lab is"),
    ):
        one.add_argument("--dir", required=True, help="the lab's folder")

    build = commands.add_parser("build", help="make the binaries ready, without starting anything")
    build.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(binaries.USUAL)}")
    which = commands.add_parser("which", help="print the path of a binary, making it ready where it is not")
    which.add_argument("name", metavar="NAME", help=", ".join(binaries.TOOLS))
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options = parser().parse_args(arguments)
        return COMMANDS[options.command](options)
    except UsageError as error:
        return _complain(error, EXIT_USAGE)
    except LabError as error:
        return _complain(error, EXIT_FAILED)
    except OSError as error:
        return _complain(error, EXIT_FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; nothing was left running", EXIT_INTERRUPTED)


def run_up(options: argparse.Namespace) -> int:
    """Start a lab."""
    began = time.monotonic()
    lab = Lab.up(
        options.dir,
        nodes=options.nodes,
        kubernetes=options.kubernetes,
        github=not options.without_github,
        audit=options.audit,
        api_port=options.api_port,
        report=_report,
    )
    seconds = time.monotonic() - began
    print(
        f"The lab in {lab.folder.path} is up after {seconds:.1f} s ({options.nodes} nodes, {len(lab.pids)} processes)."
    )
    print(f"Use it:   set -a; . {lab.folder.env}; set +a; $(python -m lab which kubectl) get namespaces")
    print(f"Stop it:  python -m lab down --dir {lab.folder.path}")
    return 0


def run_down(options: argparse.Namespace) -> int:
    """Stop a lab."""
    folder = Folder(options.dir)
    before = down(folder)
    if before.failure:
        print(before.failure)
    if before.phase in {"starting", "ready"}:
        print(f"The lab in {folder.path} is down; its logs are in {folder.logs}.")
    else:
        print(f"No lab runs in {folder.path} any more; its logs are in {folder.logs}.")
    return 0


def run_status(options: argparse.Namespace) -> int:
    """Exit status 0 only for a lab that is ready."""
    folder = Folder(options.dir)
    found = status(folder)
    print(f"The lab in {folder.path} is {found.phase} ({found.state.nodes} nodes).")
    if found.failure:
        print(found.failure)
    if found.phase in {"starting", "ready"}:
        for name, one in found.state.processes.items():
            print(f"  {name:<24} pid {one.pid}")
    return 0 if found.phase == "ready" else EXIT_FAILED


def run_build(options: argparse.Namespace) -> int:
    """Make binaries ready."""
    for name, path in binaries.ensure(options.names or binaries.USUAL).items():
        print(f"{name:<24} {path}")
    return 0


def run_which(options: argparse.Namespace) -> int:
    """Print one path, for use in a shell."""
    print(binaries.find(options.name))
    return 0


COMMANDS = {"up": run_up, "down": run_down, "status": run_status, "build": run_build, "which": run_which}


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 1 to 65535")
    return int(text)


def _report(text: str) -> None:
    if sys.stderr.isatty():
        print(f"lab: {text}", file=sys.stderr)


def _complain(reason: object, status: int) -> int:
    print(f"lab: {reason}", file=sys.stderr)
    return status


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
