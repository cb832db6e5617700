"""A sink beside the checkout's GitHub, and a git without any guard: what lures that one is a lure."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from lab.github import sinks
from lab.github.sinks import Sink
from mooring.checkout.words import basic
from tests.lab.checkout.site import OWNER, Site


@dataclass
class Lure:
    """A site with a sink that its clients trust."""

    site: Site
    sink: Sink

    @property
    def origin(self) -> str:
        """Return host and port of the one place where credentials may go."""
        return self.site.server.addresses.web.removeprefix("https://")

    def caught(self, *more: bytes) -> set[str]:
        """Return whose credentials the sink was sent, or stand in other bytes."""
        found = self.site.server.tags.found_in(b"\n".join((self.sink.data, *more)))
        return {one.credential for one in found}

    def nobody_came(self) -> None:
        """Hold that the sink has not even been connected to."""
        assert self.caught() == set()
        assert self.sink.spoken == []

    async def unguarded(
        self, *options: str, command: tuple[str, ...] = ("ls-remote",), environment: Mapping[str, str] | None = None
    ) -> None:
        """Have plain git ask for the repository, and show its token to whomever it talks to.

        How that ends is no matter; what came of it, the sink knows.
        """
        token = self.site.tokens[OWNER]
        # The first is what curl itself takes back when it is sent to another host, the second it is not.
        pairs = (("Authorization: Basic ", basic(token)), ("X: ", token))
        sent = [f"http.extraHeader={name}{word}" for name, word in pairs]
        chosen = [word for option in (*sent, "credential.helper=", *options) for word in ("-c", option)]
        await self.plain((*chosen, *command, self.site.url("web")), environment or {})

    async def plain(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        """Run git in this environment, and in nothing else of ours."""
        base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"}
        base |= {"GIT_SSL_CAINFO": str(self.site.server.ca_file), "LC_ALL": "C"}
        await asyncio.to_thread(
            subprocess.run,
            ["git", *arguments],
            cwd=self.site.folder,
            env={**base, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )

    async def redirect(self, path: str, location: str, status: int = 301) -> None:
        """Have the server send whoever asks for a path elsewhere."""
        spec = {"kind": "redirect", "location": location, "status": status, "path": path}
        await self.site.control("POST", "/faults", spec)

    async def struck(self) -> bool:
        """Tell whether every fault that is set has struck, and take them all away."""
        hits = [fault["hits"] for fault in (await self.site.control("GET", "/faults"))["faults"]]
        await self.site.control("DELETE", "/faults")
        return bool(hits) and all(hits)


@contextmanager
def luring(site: Site) -> Iterator[Lure]:
    """Run a sink beside a site."""
    with sinks.running(site.server.ca_file.parent) as sink:
        yield Lure(site, sink)
