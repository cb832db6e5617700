"""The cursors of all Apps as one document, which survives a restart. It authorizes nothing: at worst one asks again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mooring.domain.webhooks.attempts import AT_ONCE, KEPT, Asked, Cursor

# In one document, which holds a MiB at most: each App takes some 600 bytes at most, each attempt some 40.
MOST_APPS = 256
MOST_ATTEMPTS = 12_000
MOST_OF_AN_APP = 1_000
_VERSION = 1


class BadCursors(Exception):
    """The document cannot be read; the text says so and quotes nothing of it."""


@dataclass(frozen=True, slots=True, order=True)
class AppPlace:
    """An App: where it is, and the Secret with its key. A rotated key leaves it the same."""

    api_url: str
    app_id: int
    namespace: str
    secret: str

    def __str__(self) -> str:
        """Name it as people do."""
        return f"App {self.app_id} at {self.api_url} (Secret {self.namespace}/{self.secret})"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Number = Annotated[int, Field(ge=0, lt=2**63)]
# Seconds since 1970 up to the year 9999, how often, and 1 where it is sure.
_Moment = Annotated[int, Field(ge=0, le=253_402_300_799)]
_Entry = tuple[_Moment, Annotated[int, Field(ge=1, le=1000)], Annotated[int, Field(ge=0, le=1)]]
_Text = Annotated[str, Field(max_length=300)]


class _App(_Strict):
    api_url: Annotated[str, Field(max_length=2048)]
    app_id: _Number
    namespace: _Text
    secret: _Text
    since: AwareDatetime
    asked: Annotated[dict[Annotated[str, Field(pattern=r"^[0-9]{1,19}$")], _Entry], Field(max_length=MOST_OF_AN_APP)]


class _Document(_Strict):
    version: Annotated[int, Field(ge=_VERSION, le=_VERSION)]
    apps: Annotated[list[_App], Field(max_length=MOST_APPS)]


def share(apps: int) -> int:
    """Return how many attempts may be remembered of each of so many Apps."""
    return min(MOST_OF_AN_APP, MOST_ATTEMPTS // max(1, min(apps, MOST_APPS)))


def at_once(apps: int) -> int:
    """Return after how many failures one look may ask: what came before is not forgotten for it."""
    return min(AT_ONCE, share(apps) // 2)


def worth_keeping(
    cursors: Mapping[AppPlace, Cursor], used: Iterable[AppPlace], now: datetime
) -> dict[AppPlace, Cursor]:
    """Return the cursors to write: as many as there is room for, and none of use to nobody.

    An App that nobody has spoken of may have an installation that was not looked at yet, so its cursor stays for as
    long as it could matter. Where there are too many, those go first that remember nothing, and then those that
    remember the most: GitHub's list tells how often they were tried.
    """
    in_use = set(used)
    kept = [it for it in cursors.items() if it[0] in in_use or it[1].since > now - KEPT]
    kept.sort(key=lambda it: (not it[1].asked, len(it[1].asked), -it[1].since.timestamp(), it[0]))
    del kept[MOST_APPS:]
    lengths = list(accumulate(len(cursor.asked) for _, cursor in kept))
    return dict(sorted(it for it, length in zip(kept, lengths, strict=True) if length <= MOST_ATTEMPTS))


def dump(cursors: Mapping[AppPlace, Cursor]) -> str:
    """Write the document."""
    apps = [
        _App(
            api_url=place.api_url,
            app_id=place.app_id,
            namespace=place.namespace,
            secret=place.secret,
            since=cursor.since.astimezone(UTC),
            asked={str(number): _entry(asked) for number, asked in sorted(cursor.asked.items())},
        )
        for place, cursor in cursors.items()
    ]
    return _Document(version=_VERSION, apps=apps).model_dump_json()


def parse(text: str) -> dict[AppPlace, Cursor]:
    """Read the document; raise BadCursors."""
    try:
        document = _Document.model_validate_json(text)
    except ValidationError as error:
        raise BadCursors(f"{error.error_count()} of its fields are not what they should be") from None
    return {
        AppPlace(app.api_url, app.app_id, app.namespace, app.secret): Cursor(
            app.since.astimezone(UTC), {int(number): _asked(entry) for number, entry in app.asked.items()}
        )
        for app in document.apps
    }


def _entry(asked: Asked) -> tuple[int, int, int]:
    return int(asked.at.timestamp()), asked.times, int(asked.is_sure)


def _asked(entry: tuple[int, int, int]) -> Asked:
    at, times, is_sure = entry
    return Asked(datetime.fromtimestamp(at, UTC), times, is_sure=bool(is_sure))
