"""`python -m lab.github`: the lab's GitHub as a process of its own.

It says where it answers in the ready file, once it does, and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.commandline import Parser
from lab.github.documents import DocumentError
from lab.github.gitcommand import GitError
from lab.github.server import Options, Server, running

EXIT_BAD_INPUT = 2
EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = Options(
        folder=given.dir,
        token=_token(parser, given.token_file),
        address=given.address,
        port=given.port,
        control_port=given.control_port,
        advertised=given.advertise,
        hook_ca=given.hook_ca,
    )
    if given.hook_ca is not None and not given.hook_ca.is_file():
        parser.error(f"--hook-ca {given.hook_ca}: there is no such file")
    try:
        asyncio.run(_serve(options, given.ready_file))
        given.ready_file.unlink(missing_ok=True)
    except (OSError, GitError, DocumentError) as error:
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        print(f"{parser.prog}: {reason}{where}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="lab.github", description="A GitHub that fits on one machine.", allow_abbrev=False)
    parser.add_argument("--dir", type=Path, required=True, help="where repositories and certificates are kept")
    parser.add_argument("--address", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--advertise", help="the name that clients use, where it is not the address")
    parser.add_argument("--port", type=_port, default=0, help="for HTTPS; 0 is any free one")
    parser.add_argument("--control-port", type=_port, default=0, help="for the control API, on loopback")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the control API's bearer token")
    parser.add_argument("--ready-file", type=Path, required=True, help="is written when the server answers")
    parser.add_argument("--hook-ca", type=Path, help="certificates to trust when delivering webhooks")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


def _token(parser: argparse.ArgumentParser, path: Path) -> str:
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        parser.error(f"--token-file {path} can't be read: write the control token into it")
    if not token:
        parser.error(f"--token-file {path} is empty: write the control token into it")
    return token


async def _serve(options: Options, ready_file: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(options) as server:
        _write_ready(server, ready_file)
        await stop.wait()


def _write_ready(server: Server, path: Path) -> None:
    """Write the ready file in one step, so that nobody reads half of it."""
    addresses = server.addresses
    ready = {
        "api_url": addresses.api,
        "git_url": addresses.web,
        "control_url": addresses.control,
        "ca_file": str(server.ca_file),
        "pid": os.getpid(),
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(ready))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
