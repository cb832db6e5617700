"""Which repositories a token reaches: all of an installation's, and those of a person that were pushed to last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from mooring.domain.sweeping import Listed
from mooring.github import facts, troubles
from mooring.github.answers import Answer, Ok, Suspended
from mooring.github.asking import Asker, Desk
from mooring.github.limits import Limits
from mooring.github.pages import Pages
from mooring.github.session import Request

T = TypeVar("T")

# How a question with a token is asked: it raises where GitHub refuses the token.
Asked = Callable[[Asker, Request], Awaitable[Answer]]

_COVERED = "/installation/repositories"
_PERSONS = "/user/repos"
_NEWEST_FIRST = {"sort": "pushed", "direction": "desc"}


class Listing:
    """The lists of repositories."""

    def __init__(self, desk: Desk, pages: Pages, asked: Asked, limits: Limits) -> None:
        self._desk = desk
        self._pages = pages
        self._asked = asked
        self._limits = limits

    async def covered(self, asker: Asker) -> Mapping[int, str]:
        """List what an installation token reaches: names by id."""
        return await self._desk.shared(asker, "covered", partial(self._all, asker, facts.covered), fresh=True)

    async def listed(self, asker: Asker) -> Mapping[int, Listed]:
        """List the same with when each was pushed to."""
        return await self._desk.shared(asker, "listed", partial(self._all, asker, facts.listed), fresh=True)

    async def count(self, asker: Asker) -> int:
        """Count what an installation token reaches."""
        return await self._desk.shared(asker, "covered count", partial(self._count, asker), fresh=True)

    async def of_person(self, asker: Asker, wanted: frozenset[int]) -> Mapping[int, Listed]:
        """List what is wanted of the repositories that a person's token reaches, as far as it is soon found.

        Not shared: each who asks wants others.
        """
        found: dict[int, Listed] = {}

        def take(answer: Answer) -> bool:
            page = partial(facts.listed_to_person, self._document(asker, answer), self._limits.page)
            found.update({number: each for number, each in self._desk.read(asker, page).items() if number in wanted})
            return len(found) == len(wanted)

        if wanted:
            ask = partial(self._asked, asker)
            most = self._limits.person_pages
            await self._pages.read_some(asker, _PERSONS, ask, take, most=most, query=_NEWEST_FIRST)
        return found

    async def _all(self, asker: Asker, read: Callable[[Any, int], dict[int, T]]) -> Mapping[int, T]:
        found: dict[int, T] = {}

        def take(answer: Answer) -> None:
            found.update(self._desk.read(asker, partial(read, self._document(asker, answer), self._limits.page)))

        await self._pages.read(asker, _COVERED, partial(self._asked, asker), take)
        return found

    async def _count(self, asker: Asker) -> int:
        answer = await self._asked(asker, Request(f"{asker.place.base}{_COVERED}", query={"per_page": "1"}))
        return self._desk.read(asker, partial(facts.covered_count, self._document(asker, answer)))

    @staticmethod
    def _document(asker: Asker, answer: Answer) -> object:
        if isinstance(answer, Suspended):
            raise troubles.installation_suspended(asker.host, "of this token")
        if not isinstance(answer, Ok):
            # No token of another kind may ask this.
            raise troubles.token_invalid(asker.host)
        return answer.value
