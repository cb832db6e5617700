"""Pages: by number with GitHub's Link headers, and by cursor for deliveries. What is on them is up to handlers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from lab.github.errors import ApiError

Item = TypeVar("Item")

PER_PAGE = 30
LARGEST_PAGE = 100
# Far more than any list here has; keeps offsets within what a machine can count.
LAST_PAGE = 1_000_000
_CURSOR = re.compile(r"v1_(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list was asked for."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """Return how many items come before this page."""
        return (self.number - 1) * self.size

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this page's items."""
        return items[self.offset : self.offset + self.size]

    def links(self, url: str, query: Mapping[str, str], total: int) -> str | None:
        """Return the Link header for a list of `total` items, or None where everything fits on one page."""
        last = max(1, -(-total // self.size))
        pages: dict[str, int] = {}
        if self.number > 1:
            pages["prev"] = min(self.number - 1, last)
        if self.number < last:
            pages |= {"next": self.number + 1, "last": last}
        if self.number > 1:
            pages["first"] = 1
        found = [f'<{url}?{urlencode({**query, "page": str(page)})}>; rel="{rel}"' for rel, page in pages.items()]
        return ", ".join(found) or None


def page_of(query: Mapping[str, str], *, size: int = PER_PAGE, largest: int = LARGEST_PAGE) -> Page:
    """Read page and per_page as GitHub does: what makes no sense is taken for the default, too much is cut."""
    return Page(
        number=min(_positive(query.get("page")) or 1, LAST_PAGE),
        size=min(_positive(query.get("per_page")) or size, largest),
    )


def _positive(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 10 else 0


def cursor_of(query: Mapping[str, str]) -> int | None:
    """Return the id at which a page of deliveries starts; what is no cursor is refused."""
    text = query.get("cursor")
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ApiError(400, f"Invalid cursor: {text[:100]!r}")
    return int(found[1])


def cursor(number: int) -> str:
    """Return the cursor of the page that starts at an id."""
    return f"v1_{number}"


def cursor_links(url: str, query: Mapping[str, str], following: int | None) -> str | None:
    """Return the Link header that leads to the next page, where there is one."""
    if following is None:
        return None
    return f'<{url}?{urlencode({**query, "cursor": cursor(following)})}>; rel="next"'
