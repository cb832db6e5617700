"""The console entry: `mooring COMMAND`. It reads arguments, runs one command and turns its outcome into an exit code.

Each command imports what it needs when it runs, so that none pays for another. Exit codes: 0 done, 1 the answer is no,
2 the input is wrong, with one line on standard error that says what to do.
"""

import argparse
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from mooring.settings import Command, Settings

OK, NO, BAD_INPUT = 0, 1, 2
KUSTOMIZATION = "kustomization.yaml"
# Of processes that last, what is young is looked through for garbage more seldom than by default, and all of it hardly
# ever. That costs as much as there are objects, and what is dropped in circles is young.
GARBAGE = (2_000, 10, 100)


class InputError(Exception):
    """Something that the caller gave is wrong; the text says what, and what to do."""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints take one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    try:
        options = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except InputError as problem:
        line = " ".join(str(problem).split())
        sys.stderr.write(f"mooring: {line}\n")
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mooring", description="Ties GitHub repositories to running workloads.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"mooring {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_process(commands, "operator", "reconcile Projects, GitHubUsers and GitHubInstallations", _operator)
    _add_process(commands, "gateway", "verify webhooks and record them", _gateway)
    _add_release(commands)
    _add_checkout(commands)
    _add_crds(commands)
    _add_rbac(commands)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mooring")
    except PackageNotFoundError:
        return "(not installed)"


# --- what both processes have in common ---


def _add_process(
    commands: "argparse._SubParsersAction[_Parser]", name: str, text: str, run: Callable[[argparse.Namespace], int]
) -> None:
    command = commands.add_parser(
        name,
        help=text,
        description=f"Run the {name}. It is configured by MOORING_* variables of the environment.",
        allow_abbrev=False,
    )
    command.set_defaults(run=run)


def _run_process(
    name: "Command",
    serve: "Callable[[Settings], Coroutine[Any, Any, int]]",
    ended: Callable[[Exception], int],
    loop: "Callable[[], AbstractEventLoop] | None" = None,
) -> int:
    """Read the settings, and serve by them; `ended` tells of what ends the process by itself."""
    import asyncio
    import gc

    from mooring.observability import logs
    from mooring.settings import Settings, SettingsError

    try:
        settings = Settings.load(command=name)
    except SettingsError as problem:
        return _refuse(problem)
    logs.configure(settings.log_level)
    gc.set_threshold(*GARBAGE)
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(serve(settings))
    except Exception as problem:  # noqa: BLE001 - the edge of the process: what is not known is logged with its trace
        return ended(problem)


def _refuse(problem: Exception) -> int:
    """Print a problem of the input, all lines of it, and answer with the exit code for that."""
    sys.stderr.write(f"mooring: {problem}\n")
    return BAD_INPUT


# --- mooring operator ---


def _operator(_: argparse.Namespace) -> int:
    return _run_process("operator", _serve_operator, _ended)


def _ended(problem: Exception) -> int:
    """Tell in one line of the log that the operator ended by itself; a defect's trace is a field of that line."""
    import logging

    from mooring.handlers.kinds import Ended

    causes = _causes(problem)
    known = all(isinstance(cause, Ended) for cause in causes)
    told = "; ".join(str(cause) if isinstance(cause, Ended) else type(cause).__name__ for cause in causes)
    logging.getLogger("mooring").critical(
        "the operator ends: %s. It has to be started again.", told, exc_info=not known
    )
    return NO


def _causes(problem: BaseException) -> list[BaseException]:
    """Return what tasks that ran together failed with."""
    if isinstance(problem, BaseExceptionGroup):
        return [cause for one in problem.exceptions for cause in _causes(one)]
    return [problem]


async def _serve_operator(settings: "Settings") -> int:
    import os
    from functools import partial

    from mooring import wiring
    from mooring.admin import AdminServer
    from mooring.cluster.connection import ConfigurationError
    from mooring.domain.errors import Trouble
    from mooring.domain.leadership import Lost
    from mooring.domain.policy import PolicyError
    from mooring.handlers import kinds
    from mooring.settings import CannotListenError, SettingsError

    try:
        async with (
            wiring.operator(settings, os.environ, version=_version()) as operator,
            AdminServer(
                settings.operator_listen,
                operator.metrics.registry,
                operator.health,
                variable="MOORING_OPERATOR_LISTEN",
            ) as admin,
        ):
            await operator.run(partial(kinds.follow, settings, operator.intake), admin.stop)
    except Lost:
        return NO  # the log has it
    except (ConfigurationError, PolicyError, CannotListenError, SettingsError) as problem:
        return _refuse(problem)
    except Trouble as trouble:
        # The adapter's last sentence is meant for an object that the queue comes back to: here it is the restart.
        told = trouble.message.removesuffix(" It is tried again.")
        sys.stderr.write(f"mooring: cannot start: {told} Start it again when that is mended.\n")
        return NO
    except Exception as problem:
        if any(isinstance(cause, kinds.Ended) and cause.hangs for cause in _causes(problem)):
            # The event loop would wait for Kopf's tasks, and Kopf kills the process for that, without a word.
            code = _ended(problem)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        raise
    return OK


# --- mooring gateway ---


def _gateway(_: argparse.Namespace) -> int:
    import uvloop

    from mooring.gateway.files import raise_files_limit

    raise_files_limit()
    return _run_process("gateway", _serve_gateway, _gateway_ended, uvloop.new_event_loop)


def _gateway_ended(problem: Exception) -> int:
    import logging

    logging.getLogger("mooring").critical("the gateway ends; it has to be started again.", exc_info=problem)
    return NO


async def _serve_gateway(settings: "Settings") -> int:
    import asyncio
    import os

    from mooring.admin import AdminServer
    from mooring.cluster.connection import ConfigurationError
    from mooring.gateway import GatewayServer
    from mooring.observability.audit import AuditLog
    from mooring.settings import CannotListenError
    from mooring.wiring_gateway import Gateway

    gateway = Gateway(settings, os.environ, version=_version())
    try:
        await gateway.check_access()
        async with (
            AdminServer(
                settings.gateway_admin_listen,
                gateway.metrics.registry,
                gateway.health,
                variable="MOORING_GATEWAY_ADMIN_LISTEN",
            ),
            GatewayServer(
                listen=settings.gateway_listen,
                receiver=gateway,
                metrics=gateway.metrics,
                # Thousands a second may come: the lines of one turn of the event loop are one write.
                audit=AuditLog(asyncio.get_running_loop().call_soon),
                trusted_proxies=settings.trusted_proxies,
                namespace=settings.namespace,
            ) as server,
        ):
            await gateway.run(server.stop)
    except (ConfigurationError, CannotListenError) as problem:
        return _refuse(problem)
    return OK


# --- mooring release ---


def _add_release(commands: "argparse._SubParsersAction[_Parser]") -> None:
    command = commands.add_parser(
        "release",
        help="let go of what Mooring keeps, before it is uninstalled",
        description="Stop the operators for a minute, and take Mooring's finalizers from all objects.",
        allow_abbrev=False,
    )
    command.add_argument("--keys", action="store_true", help="have the Secret mooring-webhook go, too")
    command.set_defaults(run=_release)


def _release(options: argparse.Namespace) -> int:
    return _run_process("release", lambda settings: _serve_release(settings, keys=options.keys), _release_ended)


def _release_ended(problem: Exception) -> int:
    import logging

    logging.getLogger("mooring").critical("mooring release ends; run it again.", exc_info=problem)
    return NO


async def _serve_release(settings: "Settings", *, keys: bool) -> int:
    import logging
    import os

    from mooring import wiring_release
    from mooring.cluster.connection import ConfigurationError
    from mooring.domain.errors import Trouble

    try:
        async with wiring_release.release(settings, os.environ) as release:
            outcome = await release.run(keys=keys)
    except ConfigurationError as problem:
        return _refuse(problem)
    except Trouble as trouble:
        sys.stderr.write(f"mooring: {trouble.message.removesuffix(' It is tried again.')} Run this again.\n")
        return NO
    logging.getLogger("mooring").log(logging.ERROR if outcome.failed else logging.INFO, "%s.", outcome)
    return NO if outcome.failed else OK


# --- mooring checkout ---


def _add_checkout(commands: "argparse._SubParsersAction[_Parser]") -> None:
    command = commands.add_parser(
        "checkout",
        help="put one commit of a repository into a folder, as the workload's init container",
        description="Put one commit of a repository into a folder, and prove that it is that commit.",
        allow_abbrev=False,
    )
    command.add_argument("--url", required=True, help="the repository, by https")
    command.add_argument("--revision", required=True, metavar="ID", help="the commit")
    command.add_argument("--destination", required=True, metavar="DIR", help="a folder that is empty, or a checkout")
    command.add_argument("--path", help="only this file or folder of the repository")
    command.add_argument("--credential-file", metavar="FILE", help="holds the token; read anew for each attempt")
    command.add_argument("--submodules", action="store_true", help="submodules of the same origin, too")
    command.add_argument("--lfs", action="store_true", help="large files of Git LFS, too")
    command.add_argument(
        "--lfs-store", action="append", default=[], metavar="HOST", help="large files may come from this host as well"
    )
    command.add_argument(
        "--ca-file", metavar="FILE", help="trust these authorities beside the system's; it need not be there"
    )
    command.set_defaults(run=_checkout)


def _checkout(options: argparse.Namespace) -> int:
    from mooring.checkout import command
    from mooring.checkout.failures import BadRequest
    from mooring.checkout.request import request

    try:
        wanted = request(
            url=options.url,
            revision=options.revision,
            destination=options.destination,
            path=options.path,
            credential_file=options.credential_file,
            submodules=options.submodules,
            lfs=options.lfs,
            ca_file=options.ca_file,
            lfs_stores=options.lfs_store,
        )
    except BadRequest as problem:
        raise InputError(str(problem)) from None
    return command.run(wanted)


# --- mooring crds ---


def _add_crds(commands: "argparse._SubParsersAction[_Parser]") -> None:
    command = commands.add_parser(
        "crds",
        help="write or check the CustomResourceDefinitions",
        description="Write or check the definitions.",
        allow_abbrev=False,
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", metavar="DIR", type=Path, help="write them into this folder")
    what.add_argument("--check", metavar="DIR", type=Path, help="exit 1 if this folder's differ, and say how")
    command.set_defaults(run=_crds)


def _crds(options: argparse.Namespace) -> int:
    return _write_crds(options.output) if options.output is not None else _check_crds(options.check)


def _write_crds(folder: Path) -> int:
    from mooring import crds

    return _write(folder, crds.files())


def _write(folder: Path, files: Mapping[str, str]) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot write to {folder}: {problem.strerror}; name a folder that you may write to") from None
    return OK


def _check_crds(folder: Path) -> int:
    from mooring import crds

    try:
        found = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in crds_in(folder)}
    except OSError as problem:
        raise InputError(f"cannot read {folder}: {problem.strerror}; name a folder with definitions") from None
    lines = list(crds.differences(found))
    for line in lines:
        sys.stdout.write(f"{folder / line}\n")
    if lines:
        sys.stdout.write(f"run `mooring crds --output {folder}` and commit the result\n")
    return NO if lines else OK


def crds_in(folder: Path) -> list[Path]:
    """The files of a folder that are, or look like, generated definitions."""
    return sorted(path for path in folder.iterdir() if path.name.startswith("mooring.dev_") and path.suffix == ".yaml")


# --- mooring rbac ---


def _add_rbac(commands: "argparse._SubParsersAction[_Parser]") -> None:
    command = commands.add_parser(
        "rbac",
        help="write or check the Roles of operator and gateway",
        description="Write or check the Roles of operator and gateway.",
        allow_abbrev=False,
    )
    command.add_argument("--chart", action="store_true", help="as a template of the Helm chart")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--output", metavar="DIR", type=Path, help="write them into this folder")
    what.add_argument("--check", metavar="DIR", type=Path, help="exit 1 if this folder's differ, and say how")
    command.set_defaults(run=_rbac)


def _rbac(options: argparse.Namespace) -> int:
    from mooring import rbac
    from mooring.rbac import chart

    wanted = chart.files() if options.chart else rbac.files()
    if options.output is not None:
        return _write(options.output, wanted)
    folder: Path = options.check
    try:
        found = {
            path.name: path.read_text(encoding="utf-8", errors="replace")
            for path in folder.iterdir()
            # A chart has templates that are not generated, and a folder says to kustomize what is in it.
            if path.suffix == ".yaml" and (path.name in wanted or not (options.chart or path.name == KUSTOMIZATION))
        }
    except OSError as problem:
        raise InputError(f"cannot read {folder}: {problem.strerror}; name a folder with Roles") from None
    lines = list(rbac.differences(found, wanted))
    for line in lines:
        sys.stdout.write(f"{folder / line}\n")
    if lines:
        chosen = " --chart" if options.chart else ""
        sys.stdout.write(f"run `mooring rbac{chosen} --output {folder}` and commit the result\n")
    return NO if lines else OK


if __name__ == "__main__":
    sys.exit(main())
