"""Every limit of the Kubernetes adapter, with its unit and its reason."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests may take. The defaults are right for one API server; tests make them small."""

    requests_in_flight: int = 48
    """Requests at a time: more gain nothing (a status write peaks near 16), fewer starve behind a slow one."""
    pages_in_flight: int = 3
    """Pages of lists at a time: each may hold `page_bytes`, and all watches list at once after a start."""
    request_seconds: float = 30.0
    """One request as a whole: admission webhooks of others may take ten seconds each."""
    event_seconds: float = 5.0
    """Posting an Event: it is worth less than the time of whoever waits for it."""
    connect_seconds: float = 10.0
    """Name, TCP and TLS: a dead node's address must not hold a request for longer."""
    keepalive_seconds: float = 60.0
    """An idle connection is kept for this long: TLS costs more than the request."""
    answer_bytes: int = 8 * MIB
    """One answer: an object is at most 1.5 MiB in etcd, as JSON with base64 a little more."""
    page_bytes: int = 16 * MIB
    """One page of a list: whoever fills objects with annotations gets smaller pages, not our memory."""
    token_check_seconds: float = 30.0
    """How often the credentials' source is asked again: a service account's token is replaced in its file."""


@dataclass(frozen=True, slots=True)
class WatchTimings:
    """How a watch paces itself. The defaults are for production; tests make them short."""

    page_objects: int = 500
    """Objects asked for in a page of metadata: large enough for few requests, small enough for memory."""
    whole_page_objects: int = 50
    """The same for whole objects, which take twenty times the memory."""
    smallest_page: int = 10
    """Pages are halved down to this when one exceeds `page_bytes`."""
    page_seconds: float = 60.0
    """One page as a whole."""
    server_seconds: tuple[float, float] = (300.0, 600.0)
    """When the server ends a watch, drawn at random: so that watches don't all come back at once."""
    inactivity_seconds: float = 150.0
    """Silence for this long means a dead connection: the server sends a bookmark about once a minute."""
    backoff_seconds: tuple[float, float] = (0.5, 10.0)
    """The first and the longest wait after a failure; a random part of it is really waited. A watch is one request, so
    the longest is what people may wait for after an outage."""
    settled_seconds: float = 5.0
    """A watch that lived for this long was a good one: the next failure starts with the first wait again."""
    event_bytes: int = 8 * MIB
    """One event of a watch, for the reason of `answer_bytes`."""
