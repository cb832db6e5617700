"""Lists that come in pages. The next page is where GitHub's Link header says, and never outside the API."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from mooring.domain import origins
from mooring.github import troubles
from mooring.github.answers import Answer, Ok
from mooring.github.asking import Asker, Desk
from mooring.github.limits import Limits
from mooring.github.session import Request

Ask = Callable[[Request], Awaitable[Answer]]
Take = Callable[[Answer], None]
# Tells whether it is enough.
TakeSome = Callable[[Answer], bool]

# `<where>; rel="next"`, as GitHub writes it; the bounds are those of origins.redirect_target.
_LINK = re.compile(r"<([^<>\s]{1,4096})>((?:\s*;\s*[a-z]+=\"[^\"<>]{0,200}\")*)")
_LONGEST = 16 * 1024


def following(header: str) -> str | None:
    """Return what a Link header names as the next page."""
    for link in _LINK.finditer(header[:_LONGEST]):
        if 'rel="next"' in link[2]:
            return link[1]
    return None


class Pages:
    """Reads lists to their end, or says that they have none."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        self._desk = desk
        self._limits = limits

    async def read(self, asker: Asker, path: str, ask: Ask, take: Take) -> None:
        """Hand over the answers, page by page; what is no page is the last one."""

        def take_it(answer: Answer) -> bool:
            take(answer)
            return False

        if not await self.read_some(asker, path, ask, take_it, most=self._limits.pages):
            raise troubles.unavailable(asker.host, f"has a list of more than {self._limits.pages} pages")

    async def read_some(
        self,
        asker: Asker,
        path: str,
        ask: Ask,
        take: TakeSome,
        *,
        most: int,
        query: Mapping[str, str] | None = None,
    ) -> bool:
        """Hand over the answers until it is enough, the list ends, or so many were read: then it is False."""
        request = Request(f"{asker.place.base}{path}", query={**(query or {}), "per_page": str(self._limits.page)})
        for _ in range(most):
            answer = await ask(request)
            enough = take(answer)
            link = following(answer.headers.get("link", "")) if isinstance(answer, Ok) else None
            if enough or link is None:
                return True
            target = origins.redirect_target(request.url, link, api=asker.place.base)
            if target is None:
                raise troubles.unavailable(asker.host, "continues a list at another origin, where nothing is sent")
            request = Request(target)
        return False
