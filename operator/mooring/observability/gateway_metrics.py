"""What the gateway counts, on the registry of its process. Labels come from small closed sets, as in `metrics`.

No label names a sender, a repository or a hook.
"""

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from mooring.observability.registry import new_registry

# Up to the ten seconds that GitHub waits.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0)

# The event of a request that does not say a valid one, and that of all events without a label of their own.
NONE, OTHER = "none", "other"
EVENTS = ("push", "ping", "installation", "installation_repositories", "repository", OTHER, NONE)


class Outcome(StrEnum):
    """What became of a request."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    PING = "ping"
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"
    # Before the signature was verified, or because there were too many.
    LIMITED = "limited"
    MEDIA = "media"
    METHOD = "method"
    OVERSIZED = "oversized"
    UNKNOWN = "unknown"
    UNSIGNED = "unsigned"
    # The sender went away, or was cut off, before there was an answer.
    GONE = "gone"


class Cut(StrEnum):
    """Why a connection was closed in the middle."""

    CROWDED = "crowded"
    EVICTED = "evicted"
    HEADERS = "headers"
    LATE = "late"
    PADDED = "padded"
    PIPELINED = "pipelined"
    SLOW = "slow"


class Write(StrEnum):
    """What came of a write to the API server."""

    RECORDED = "recorded"
    CONFLICT = "conflict"
    FAILED = "failed"


def event_label(event: str | None) -> str:
    """Return the label of an event."""
    if event is None:
        return NONE
    return event if event in EVENTS else OTHER


class GatewayMetrics:
    """One for a process. Every metric is made here, so that one that was never counted is seen as zero."""

    def __init__(self, *, version: str = "") -> None:
        self.registry = new_registry(version)
        self._deliveries = Counter(
            "mooring_deliveries_total",
            "Requests by their event and by what became of them.",
            ["event", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "mooring_delivery_seconds",
            "How long a delivery with a valid signature took, from its headers to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._connections = Gauge("mooring_gateway_connections", "Connections that are open.", registry=self.registry)
        self._body_bytes = Gauge(
            "mooring_gateway_body_bytes", "What is held of bodies, as it arrived.", registry=self.registry
        )
        self._cut = Counter(
            "mooring_gateway_cut_total",
            "Connections that were closed in the middle, by why: crowded, evicted, headers, late, padded, pipelined or "
            "slow.",
            ["why"],
            registry=self.registry,
        )
        self._patches = Counter(
            "mooring_gateway_patches_total",
            "Writes to the status of objects by what came of them: recorded, conflict or failed.",
            ["result"],
            registry=self.registry,
        )
        self._followers = Gauge(
            "mooring_gateway_followers", "Projects whose pushes are taken, by valid proofs.", registry=self.registry
        )
        # From the beginning: of a counter that begins at 1, Prometheus sees no increase.
        self._answered = {
            (event, outcome.value): self._deliveries.labels(event=event, outcome=outcome.value)
            for event in EVENTS
            for outcome in Outcome
        }
        for why in Cut:
            self._cut.labels(why=why.value)
        for result in Write:
            self._patches.labels(result=result.value)

    def answered(self, event: str | None, outcome: str) -> None:
        """Count a request."""
        label = event_label(event)
        known = self._answered.get((label, outcome)) or self._answered[label, Outcome.UNAVAILABLE.value]
        known.inc()

    def verified(self, seconds: float) -> None:
        """Count how long a delivery with a valid signature took."""
        self._seconds.observe(seconds)

    def cut(self, why: Cut) -> None:
        """Count a connection that was closed in the middle."""
        self._cut.labels(why=why.value).inc()

    def wrote(self, result: str) -> None:
        """Count a write to the status of an object."""
        self._patches.labels(result=Write(result).value).inc()

    def watch_followers(self, count: Callable[[], int]) -> None:
        """Ask for the number of Projects whose pushes are taken whenever metrics are read."""
        self._followers.set_function(count)

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Ask for the number of open connections whenever metrics are read."""
        self._connections.set_function(count)

    def watch_body_bytes(self, count: Callable[[], int]) -> None:
        """Ask for the bytes that bodies hold whenever metrics are read."""
        self._body_bytes.set_function(count)
