"""What is recorded in which objects: what happens to a repository in Projects, notices in GitHubInstallations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.domain.conditions import timestamp
from mooring.domain.names import OwnKind
from mooring.domain.webhooks.following import Followed
from mooring.domain.webhooks.recording import Arrival, Report, Told, judge, record
from mooring.ports import Object
from mooring.services.receiving.followers import Followers, Following
from mooring.services.receiving.places import Place
from mooring.services.receiving.recorder import Decision


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push, or a report of the repository, for a Project that followed it when it was looked up."""

    uid: str
    followed: Followed
    arrival: Arrival | Report


class Pushes:
    """Pushes are recorded in the status of Projects, in `push` and `deliveries`; reports in `deliveries` alone.

    Both share one book, and so the same writes.
    """

    kind: OwnKind = "Project"

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    def judge(self, place: Place, entry: Pushed) -> Told | None:
        """Say what would be told of one of them alone."""
        known = self._followers.get(place)
        if known is None or not _concerns(entry, known):
            return None
        return judge(known.status, entry.arrival)

    def decide(self, place: Place, entries: Sequence[Pushed]) -> Decision | None:
        """Take those in that concern the Project still: it may have changed, or made way for another one."""
        known = self._followers.get(place)
        if known is None:
            return None
        concern = [_concerns(entry, known) for entry in entries]
        found = record(known.status, [entry.arrival for entry, does in zip(entries, concern, strict=True) if does])
        told = iter(found.told)
        return Decision(known.version, found.fields, [next(told) if does else None for does in concern])

    def wrote(self, place: Place, decision: Decision, version: str) -> None:
        """Take what was decided as written."""
        self._followers.written(place, decision.fields or {}, onto=decision.version, version=version)

    def renew(self, place: Place, obj: Object | None) -> None:
        """Take the Project as it was just read."""
        known = self._followers.get(place)
        if known is None:
            return
        if obj is None or obj["metadata"]["uid"] != known.uid:
            # One that took its name is told of by the watch.
            self._followers.drop(place, known.uid)
        else:
            self._followers.renew(place, obj)


def _concerns(entry: Pushed, known: Following) -> bool:
    return known.uid == entry.uid and known.followed == entry.followed


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something happened to an installation, or to a repository that it covers: it has to be read again."""

    uid: str
    event: str
    delivery: str
    received_at: datetime


class Notices:
    """Of notices the last one stands in the status of GitHubInstallations, in `hint`."""

    kind: OwnKind = "GitHubInstallation"

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    def judge(self, place: Place, entry: Noticed) -> Told | None:
        """Say what would be told of one of them alone."""
        known = self._followers.installations.get(place)
        if known is None or entry.uid != known.uid:
            return None
        return _told(entry, (known.hint or {}).get("delivery"))

    def decide(self, place: Place, entries: Sequence[Noticed]) -> Decision | None:
        """Take the last one that is not there yet."""
        known = self._followers.installations.get(place)
        if known is None:
            return None
        stored = (known.hint or {}).get("delivery")
        told = [None if entry.uid != known.uid else _told(entry, stored) for entry in entries]
        news = [entry for entry, each in zip(entries, told, strict=True) if each is Told.RECORDED]
        return Decision(known.version, {"hint": _hint(news[-1])} if news else None, told)

    def wrote(self, place: Place, decision: Decision, version: str) -> None:
        """Take what was decided as written."""
        self._followers.installations.written(place, decision.fields or {}, onto=decision.version, version=version)

    def renew(self, place: Place, obj: Object | None) -> None:
        """Take the GitHubInstallation as it was just read."""
        known = self._followers.installations.get(place)
        if known is None:
            return
        if obj is None or obj["metadata"]["uid"] != known.uid:
            self._followers.drop_installation(place, known.uid)
        else:
            self._followers.renew_installation(obj)


def _told(entry: Noticed, stored: str | None) -> Told:
    return Told.DUPLICATE if entry.delivery == stored else Told.RECORDED


def _hint(entry: Noticed) -> dict[str, str]:
    return {"event": entry.event, "delivery": entry.delivery, "receivedAt": timestamp(entry.received_at)}
