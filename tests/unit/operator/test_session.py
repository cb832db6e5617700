"""The session that Kopf uses: nothing is done again and again without a pause, and nothing is listed twice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import kopf
import orjson
import pytest
from yarl import URL

from mooring.handlers.session import NOBODY, SETTLED_SECONDS, WAITS, Continuation, Pace, RollCall, paced
from mooring.services.store import Key


class Time:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def pace(self) -> Pace:
        """Return a pace that keeps to it."""
        return Pace(lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


def continuing(listed: dict[str, str]) -> Continuation:
    """Return a continuation of lists of nobody."""
    return Continuation(listed, RollCall(lambda _: {}, lambda *_: None))


class Page:
    """A page of a list as the API server answers it. It stands for no API server."""

    def __init__(self, *uids: str, following: str = "", status: int = 200, body: bytes | None = None) -> None:
        items = [{"metadata": {"uid": uid}} for uid in uids]
        self.status = status
        self._body = body or orjson.dumps({"metadata": {"continue": following}, "items": items})

    async def read(self) -> bytes:
        """Return all of it."""
        return self._body


async def ask(pace: Pace, path: str, *, closed: bool = False) -> None:
    """Ask as Kopf does, but that nothing is sent."""

    async def handler(_: Any) -> Any:
        return None

    made = paced(kopf.ConnectionInfo(server="https://cluster.example"), pace, continuing({})).aiohttp_session
    if closed:
        await made.close()
    middleware, _ = made._middlewares  # noqa: SLF001 - what a request goes through
    request = SimpleNamespace(url=URL(f"https://cluster.example{path}"), session=made)
    try:
        await middleware(cast("aiohttp.ClientRequest", request), handler)
    finally:
        await made.close()


async def test_a_session_that_was_closed_meanwhile_says_so() -> None:
    with pytest.raises(RuntimeError, match="Session is closed"):
        await ask(Time().pace(), "/projects?watch=true", closed=True)


async def test_watches_that_end_at_once_are_opened_ever_more_slowly() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(100):
        await ask(pace, "/projects?watch=true")
    assert len(time.slept) >= 90
    assert sum(time.slept) > 100
    assert max(time.slept) <= WAITS[1]


async def test_a_watch_that_lived_makes_good_for_those_before() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(20):
        await ask(pace, "/projects?watch=true")
    time.now += SETTLED_SECONDS + 1
    await ask(pace, "/projects?watch=true")
    time.slept.clear()
    await ask(pace, "/projects?watch=true")
    (slept,) = time.slept
    assert slept <= WAITS[0]


async def test_a_good_watch_a_list_and_another_kind_do_not_wait() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(3):
        await ask(pace, "/projects?watch=true")
        await ask(pace, "/githubusers?watch=true")
        await ask(pace, "/projects?limit=200")
        await ask(pace, "/projects?limit=200")
        time.now += SETTLED_SECONDS + 1
    assert time.slept == []


async def test_the_session_is_as_kopf_would_make_it() -> None:
    info = kopf.ConnectionInfo(server="https://cluster.example", token="t", scheme="Bearer", default_namespace="n")
    made = paced(info, Pace(), continuing({}))
    try:
        assert (made.server, made.default_namespace) == ("https://cluster.example", "n")
        assert made.aiohttp_session.headers["Authorization"] == "Bearer t"
        assert made.aiohttp_session.trust_env is False
    finally:
        await made.aiohttp_session.close()
        await asyncio.sleep(0)


PROJECTS, USERS = "/apis/mooring.dev/v1alpha1/projects", "/apis/mooring.dev/v1alpha1/githubusers"


async def sent(
    continuation: Continuation, path: str, method: str = "GET", page: Page | None = None, **query: str
) -> dict[str, str]:
    """Return with which query a request of Kopf's arrives."""
    request: Any = SimpleNamespace(url=URL("https://cluster.example").with_path(path).with_query(query), method=method)

    async def handler(_: Any) -> Any:
        return page or Page()

    await continuation(cast("aiohttp.ClientRequest", request), handler)
    assert request.url.path == path
    return dict(request.url.query)


async def test_what_was_listed_is_watched_from_there_on() -> None:
    continuation = continuing({PROJECTS: "70", USERS: "80"})
    # As often as it is asked for: the first answer may have been a refusal.
    for _ in range(2):
        assert await sent(continuation, PROJECTS, limit="200") == {
            "limit": "200",
            "fieldSelector": NOBODY,
            "resourceVersion": "0",
        }
    # Also where the first watch broke before anything came: Kopf would go on from its own list, which was of nobody.
    for _ in range(2):
        watched = await sent(continuation, PROJECTS, watch="true", resourceVersion="95", timeoutSeconds="600")
        assert watched == {"watch": "true", "resourceVersion": "70", "timeoutSeconds": "600"}
    assert (await sent(continuation, USERS, limit="200"))["fieldSelector"] == NOBODY
    assert (await sent(continuation, USERS, watch="true", resourceVersion="99"))["resourceVersion"] == "80"


async def test_whoever_has_got_on_by_an_event_goes_on_from_there() -> None:
    continuation = continuing({PROJECTS: "70"})
    await sent(continuation, PROJECTS, limit="200")
    await sent(continuation, PROJECTS, watch="true", resourceVersion="95")
    for version in ("75", "95"):
        assert (await sent(continuation, PROJECTS, watch="true", resourceVersion=version))["resourceVersion"] == version


async def test_a_later_list_brings_everything_and_is_gone_on_from() -> None:
    continuation = continuing({PROJECTS: "70"})
    await sent(continuation, PROJECTS, limit="200")
    await sent(continuation, PROJECTS, watch="true", resourceVersion="95")
    assert await sent(continuation, PROJECTS, limit="200") == {"limit": "200"}
    assert (await sent(continuation, PROJECTS, watch="true", resourceVersion="95"))["resourceVersion"] == "95"


async def test_an_api_below_a_path_of_its_server_is_the_same_api() -> None:
    continuation = continuing({PROJECTS: "70"})
    assert (await sent(continuation, f"/clusters/one{PROJECTS}", limit="200"))["fieldSelector"] == NOBODY
    watched = await sent(continuation, f"/clusters/one{PROJECTS}", watch="true", resourceVersion="95")
    assert watched["resourceVersion"] == "70"


async def test_everything_else_goes_as_it_is() -> None:
    continuation = continuing({PROJECTS: "70"})
    assert await sent(continuation, "/apis/mooring.dev/v1alpha1") == {}
    assert await sent(continuation, USERS, limit="200") == {"limit": "200"}
    assert await sent(continuation, PROJECTS, method="POST") == {}


# --- who is gone when Kopf lists again ---

SHOP, BLOG, NEWS = (Key("Project", "team-a", name) for name in ("shop", "blog", "news"))


class Rolls:
    """A continuation that has got as far as its first watch, and those who were told to be gone."""

    def __init__(self) -> None:
        self.known = {"uid-shop": SHOP, "uid-blog": BLOG}
        self.gone: list[tuple[Key, str]] = []
        roll_call = RollCall(lambda path: dict(self.known if path == PROJECTS else {}), self._tell)
        self.continuation = Continuation({PROJECTS: "70"}, roll_call)

    def _tell(self, key: Key, uid: str) -> None:
        self.gone.append((key, uid))

    async def begin(self) -> Rolls:
        """List and watch for the first time."""
        await sent(self.continuation, PROJECTS, limit="200")
        await sent(self.continuation, PROJECTS, watch="true", resourceVersion="95")
        return self

    async def list(self, *pages: Page) -> list[tuple[Key, str]]:
        """List again, and return who was told to be gone."""
        for number, page in enumerate(pages):
            query = {"continue": str(number)} if number else {}
            await sent(self.continuation, PROJECTS, page=page, limit="200", **query)
        return self.gone


async def test_the_list_of_nobody_says_of_nobody_that_he_is_gone() -> None:
    assert (await Rolls().begin()).gone == []


async def test_whoever_is_on_no_page_of_a_later_list_is_gone() -> None:
    rolls = await Rolls().begin()
    assert await rolls.list(Page("uid-shop")) == [(BLOG, "uid-blog")]
    # And after the next break again: it is found out for each list.
    rolls.known = {"uid-shop": SHOP}
    assert await rolls.list(Page()) == [(BLOG, "uid-blog"), (SHOP, "uid-shop")]


async def test_all_pages_count_and_whoever_came_meanwhile_is_not_missed() -> None:
    rolls = await Rolls().begin()
    await rolls.list(Page("uid-shop", following="more"))
    rolls.known["uid-news"] = NEWS
    await sent(rolls.continuation, PROJECTS, page=Page("uid-blog"), **{"continue": "more"})
    assert rolls.gone == []


async def test_a_page_that_is_refused_is_asked_for_again_and_counts_then() -> None:
    for refusal in (503, 429, 401):
        rolls = await Rolls().begin()
        assert await rolls.list(Page("uid-shop", following="more"), Page(status=refusal)) == []
        await sent(rolls.continuation, PROJECTS, page=Page(), **{"continue": "1"})
        assert rolls.gone == [(BLOG, "uid-blog")]


async def test_after_a_list_that_broke_off_the_next_one_begins_anew() -> None:
    rolls = await Rolls().begin()
    assert await rolls.list(Page("uid-shop", following="more"), Page(status=410)) == []
    assert await rolls.list(Page("uid-blog")) == [(SHOP, "uid-shop")]


@pytest.mark.parametrize("page", [Page(body=b"no list"), Page(body=b"[]"), Page(body=b'{"items": 3, "metadata": {}}')])
async def test_where_a_page_is_no_answer_nobody_is_gone_until_a_list_is_complete(page: Page) -> None:
    rolls = await Rolls().begin()
    assert await rolls.list(Page("uid-shop", following="more"), page) == []
    await sent(rolls.continuation, PROJECTS, page=Page(), **{"continue": "more"})
    assert rolls.gone == []
    assert await rolls.list(Page("uid-shop")) == [(BLOG, "uid-blog")]
