"""What the operator counts, on the registry of its process.

Labels come from small closed sets. No label names a repository, an account, a namespace or an object: metrics are read
by people who may not see those. The GitHub adapter adds its own to the same registry.
"""

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.domain.names import OWN_KINDS
from mooring.observability.registry import new_registry

# From what a warm cache answers in to what a slow GitHub keeps us waiting for.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# From a push to its rollout: a moment more than the quiet time, up to a GitHub that is away for minutes.
_ROLLOUT_SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
# What tells of a push: the webhook of an App, one of the repository, or nobody, so that a sweep found it.
_VIAS = ("app", "hook", "sweep")


class Result(StrEnum):
    """How a run for one object ended."""

    OK = "ok"
    STALLED = "stalled"
    WAITING = "waiting"
    TRANSIENT = "transient"
    CHANGED = "changed"
    DEFECT = "defect"


def result_of(trouble: Trouble) -> Result:
    """Return the label of a trouble."""
    if isinstance(trouble, Stalled):
        return Result.STALLED
    return Result.WAITING if isinstance(trouble, Waiting) else Result.TRANSIENT


class Metrics:
    """One for a process. Every metric is made here, so that one that was never counted is seen as zero."""

    def __init__(self, *, version: str = "") -> None:
        self.registry = new_registry(version)
        self._seconds = Histogram(
            "mooring_reconcile_seconds",
            "How long a run for one object took.",
            ["kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._results = Counter(
            "mooring_reconcile_results_total",
            "Runs by how they ended: ok, stalled, waiting, transient, changed or defect.",
            ["kind", "result"],
            registry=self.registry,
        )
        # From the beginning: of a counter that begins at 1, Prometheus sees no increase.
        for kind in OWN_KINDS:
            self._seconds.labels(kind=kind)
            for result in Result:
                self._results.labels(kind=kind, result=result.value)
        self._rollouts = Histogram(
            "mooring_push_to_rollout_seconds",
            "How long it took from the receipt of a push, or from one that a sweep found, until its rollout was begun.",
            ["via"],
            buckets=_ROLLOUT_SECONDS,
            registry=self.registry,
        )
        for via in _VIAS:
            self._rollouts.labels(via=via)
        self._sweeps = Counter(
            "mooring_sweeps_total",
            "Looks through what a credential lists, by how they ended: ok, stalled, waiting, transient or defect.",
            ["result"],
            registry=self.registry,
        )
        for result in Result:
            if result is not Result.CHANGED:
                self._sweeps.labels(result=result.value)
        self._swept = Gauge(
            "mooring_sweep_repositories",
            "Repositories that are looked at by themselves, now and then.",
            registry=self.registry,
        )
        self._repeated = Counter(
            "mooring_deliveries_repeated_total",
            "Failed deliveries that GitHub was asked to send again, by whose webhook it is: app or hook.",
            ["via"],
            registry=self.registry,
        )
        for via in ("app", "hook"):
            self._repeated.labels(via=via)
        self._leader = Gauge(
            "mooring_leader",
            "1 while this process leads beyond doubt, 0 while it stands by or may have lost its Lease.",
            registry=self.registry,
        )
        self._queue = Gauge("mooring_queue_depth", "Objects whose run is due or under way.", registry=self.registry)
        self._objects = Gauge(
            "mooring_objects", "Objects that the operator knows of.", ["kind"], registry=self.registry
        )
        self._tokens = Gauge(
            "mooring_tokens",
            "Objects by how their token stands: usable, expiring, refused, unknown or none.",
            ["kind", "state"],
            registry=self.registry,
        )
        self._hooks = Gauge(
            "mooring_repository_hooks",
            "Webhooks of repositories that Projects need: Active, Failing, or Missing where none could be made.",
            ["state"],
            registry=self.registry,
        )
        self._events_dropped = Counter(
            "mooring_events_dropped_total",
            "Kubernetes Events that could not be posted, or were too many.",
            registry=self.registry,
        )

    def reconciled(self, kind: str, result: Result, seconds: float) -> None:
        """Count one run for an object."""
        self._seconds.labels(kind=kind).observe(seconds)
        self._results.labels(kind=kind, result=result.value).inc()

    def rolled_out(self, seconds: float, via: str) -> None:
        """Take note of a rollout that a push led to, and of what had told of the push."""
        self._rollouts.labels(via=via).observe(seconds)

    def swept(self, found: Exception | None) -> None:
        """Count a sweep by what ended it."""
        result = Result.OK if found is None else result_of(found) if isinstance(found, Trouble) else Result.DEFECT
        self._sweeps.labels(result=result.value).inc()

    def watch_sweeps(self, repositories: Callable[[], int]) -> None:
        """Ask how many repositories are followed whenever metrics are read."""
        self._swept.set_function(repositories)

    def delivery_repeated(self, via: str) -> None:
        """Count a failed delivery that was asked for again; `via` is app or hook."""
        self._repeated.labels(via=via).inc()

    def event_dropped(self) -> None:
        """Count an Event that nobody will see."""
        self._events_dropped.inc()

    def watch_leader(self, leads: Callable[[], bool]) -> None:
        """Ask whether this process leads whenever metrics are read."""
        self._leader.set_function(lambda: float(leads()))

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Ask for the queue's depth whenever metrics are read."""
        self._queue.set_function(depth)

    def watch_tokens(self, kind: str, state: str, count: Callable[[], int]) -> None:
        """Ask for the number of objects of a kind whose token stands so, whenever metrics are read."""
        self._tokens.labels(kind=kind, state=state).set_function(count)

    def watch_hooks(self, state: str, count: Callable[[], int]) -> None:
        """Ask for the number of repositories' webhooks that stand so, whenever metrics are read."""
        self._hooks.labels(state=state).set_function(count)

    def watch_objects(self, kind: str, count: Callable[[], int]) -> None:
        """Ask for the number of objects of a kind whenever metrics are read."""
        self._objects.labels(kind=kind).set_function(count)
