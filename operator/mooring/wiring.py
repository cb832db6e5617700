"""The composition root: builds the adapters, hands them to the services, and says what runs together.

Nothing is decided here, and nothing runs before `Operator.run`.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.cluster.identities import KubernetesIdentities
from mooring.cluster.kinds import RESOURCES
from mooring.cluster.leases import KubernetesLease
from mooring.cluster.watch import Scope, Seen, Watch
from mooring.domain import names
from mooring.domain.app_secrets import MAX_COPIED_BYTES, certificates_to_copy
from mooring.domain.carriers import State
from mooring.domain.errors import Trouble
from mooring.domain.names import OWN_KINDS, OwnKind
from mooring.domain.origins import AllowedHosts
from mooring.domain.policy import Policy, PolicyError, from_config_map
from mooring.github import GitHubAdapter
from mooring.observability.audit import AuditLog
from mooring.observability.health import Health, Latch
from mooring.observability.metrics import Metrics, Result, result_of
from mooring.ports import Changed, GitHubWebhooks
from mooring.running import Operator, Stop
from mooring.services.clock import SystemClock
from mooring.services.election import Election
from mooring.services.gateway_identity import GatewayIdentity, gateway_identity
from mooring.services.herald import Herald
from mooring.services.installations import Installations
from mooring.services.intake import Intake
from mooring.services.platform import Platform
from mooring.services.projects import Projects
from mooring.services.recent import Recent
from mooring.services.reconciler import Observer, Reconciler, Service
from mooring.services.redeliveries import Redeliveries
from mooring.services.repository_hooks import RepositoryHooks
from mooring.services.secrets import Secrets
from mooring.services.store import Key, Store
from mooring.services.sweep_groups import Group
from mooring.services.sweeps import Doubt, Sweeps
from mooring.services.token_states import TokenState
from mooring.services.users import Users
from mooring.services.webhook_secret import webhook_secret
from mooring.services.work import WorkQueue
from mooring.settings import Settings

log = logging.getLogger(__name__)

# The queue's loop turns every few seconds; this long without a turn means that the event loop hangs.
LOOP_SECONDS = 60.0
# Who stood by stays ready for so long while it fills its caches: what shares its Pod must not go out of service then.
TAKEOVER_SECONDS = 60.0
# Sweeps, and looks for failed deliveries, under way at a time: in all, and of a namespace. Nobody waits for one.
LOOKS_AT_ONCE, LOOKS_OF_A_GROUP = 4, 2
# Kinds whose every object of ours carries the label; Secrets that people name do not, so those are all watched.
LABELLED = ("Deployment", "Service", "Ingress")
MANAGED = f"{names.MANAGED_BY}={names.MANAGER}"
OF_PROJECTS = f"{MANAGED},{names.PROJECT_LABEL}"


def seconds_since_boot() -> float:
    """Return seconds that count on while the process, or the machine, is stopped; no date moves them."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def allowed_hosts(policy: Policy, settings: Settings) -> AllowedHosts:
    """Put the policy's hosts beside the operator's own GitHub."""
    return AllowedHosts.of(policy.allowed_hosts, api=settings.github_api_url)


@asynccontextmanager
async def operator(settings: Settings, environ: Mapping[str, str], *, version: str) -> AsyncIterator[Operator]:
    """Build the operator. Raises ConfigurationError without access to a cluster, PolicyError for a bad policy."""
    clock, metrics = SystemClock(), Metrics(version=version)
    async with AsyncExitStack() as stack:
        # The Lease has a way of its own: it is renewed whatever else is under way, and the guard asks about it.
        renewing = await Connection.open(environ)
        stack.push_async_callback(renewing.close)
        lease = KubernetesLease(renewing, clock, settings.namespace, names.OPERATOR_LEASE)
        election = Election(lease, _identity(), seconds_since_boot)
        connection = await Connection.open(environ, permit=election.permit)
        stack.push_async_callback(connection.close)
        cluster = KubernetesCluster(connection, clock, instance=socket.gethostname())
        found = await cluster.read_config_map(settings.namespace, settings.policy_configmap)
        policy = from_config_map(_data(found))
        store = Store()
        held: dict[str, Platform] = {}
        github = GitHubAdapter(
            clock=clock,
            hosts=lambda: held["platform"].allowed_hosts,
            registry=metrics.registry,
            version=version,
            api_url=settings.github_api_url,
            ca_file=settings.github_ca_file,
            permit=election.permit,
        )
        stack.push_async_callback(github.aclose)
        platform = Platform(
            herald=Herald(cluster, metrics.event_dropped),
            recent=Recent(),
            cluster=cluster,
            github=github,
            webhooks=github.webhooks,
            audit=AuditLog(),
            clock=clock,
            store=store,
            secrets=Secrets(cluster),
            api_url=settings.github_api_url,
            sweep_interval=settings.sweep_interval,
            checkout_image=settings.checkout_image,
            policy=policy,
            allowed_hosts=allowed_hosts(policy, settings),
            namespace=settings.namespace,
            app_secret=settings.github_app_secret,
            public_base_url=settings.public_base_url,
            large_file_hosts=settings.large_file_hosts,
            authorities=_authorities(settings),
            rolled_out=metrics.rolled_out,
            namespaces=None if settings.watch_namespaces else {},
        )
        held["platform"] = platform
        identities = KubernetesIdentities(renewing, clock, environ, settings.namespace)
        gateway = await gateway_identity(settings, identities, clock)
        yield _assemble(
            settings,
            platform,
            connection,
            metrics,
            webhooks_there=github.webhooks,
            election=election,
            gateway=gateway,
            close_github=github.aclose,
        )


def _authorities(settings: Settings) -> str | None:
    """Read the certificates that pods fetch with; the adapter has read the same file a moment before."""
    if settings.github_ca_file is None:
        return None
    found = certificates_to_copy(settings.github_ca_file.read_bytes())
    if found is None:
        log.warning(
            "pods do not get the authorities in MOORING_GITHUB_CA_FILE: it has no certificate, or more than %s KiB"
            " of them. Name a file with those of this GitHub alone",
            MAX_COPIED_BYTES // 1024,
        )
    return found


def _identity() -> str:
    """Name this process: its Pod, so that people find it, and what no other process of that Pod has."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


def _assemble(
    settings: Settings,
    platform: Platform,
    connection: Connection,
    metrics: Metrics,
    *,
    webhooks_there: GitHubWebhooks,
    election: Election,
    gateway: GatewayIdentity | None,
    close_github: Stop,
) -> Operator:
    queue: WorkQueue
    beside: WorkQueue

    def ask(key: Key, after: float = 0.0) -> None:
        queue.add(key, after=after)

    def ask_beside(key: Hashable, after: float) -> None:
        beside.add(key, after=after)

    intake = Intake(platform, ask)
    users = Users(platform, intake.ask_projects, ask)

    def ask_all() -> None:
        for key in platform.store:
            queue.add(key)

    hooks = RepositoryHooks(platform, ask, repeated=partial(metrics.delivery_repeated, "hook"))
    webhooks = webhook_secret(settings, platform, ask_all, hooks.renew)
    redeliveries = Redeliveries(
        platform, webhooks_there, ask_beside, intake.ask_projects, repeated=partial(metrics.delivery_repeated, "app")
    )
    installations = Installations(platform, intake.ask_projects, ask, webhooks, redeliveries)

    def doubt(key: Key, found: Doubt) -> None:
        projects.doubt(key, found)
        ask(key)

    sweeps = Sweeps(platform, installations, plan=ask_beside, doubt=doubt, count=metrics.swept, look_at_hook=hooks.look)
    projects = Projects(platform, users, installations, ask, hooks=hooks, sweeps=sweeps)
    services: dict[OwnKind, Service] = {"GitHubUser": users, "GitHubInstallation": installations, "Project": projects}
    reconciler = Reconciler(services, observer(metrics, platform.store), lambda: election.leads)

    async def run(key: Hashable) -> Any:
        return await reconciler(key)

    queue = WorkQueue(run, platform.clock, group=lambda key: key.namespace if isinstance(key, Key) else key)

    async def look(key: Hashable) -> Any:
        return await (sweeps.run(key) if isinstance(key, Group) else redeliveries.run(key))

    beside = WorkQueue(
        look,
        platform.clock,
        group=lambda key: key.namespace if isinstance(key, Group) else key,
        runs_at_once=LOOKS_AT_ONCE,
        runs_of_a_group=LOOKS_OF_A_GROUP,
    )
    metrics.watch_sweeps(lambda: len(sweeps))
    platform.herald.calm = queue.calm
    metrics.watch_queue(lambda: queue.overdue)
    metrics.watch_leader(lambda: election.leads)
    _watch_objects(metrics, platform)
    for state in State:
        metrics.watch_hooks(state.value, partial(hooks.count, state))
    health, filled = Health(), Latch("the caches are being filled")
    for name, each in (("work loop", queue), ("loop of looks", beside)):
        health.must_live(name, partial(_stuck, each, platform, filled))
    health.must_be_ready("Lease", election.has_no_part)
    health.must_be_ready("caches", lambda: filled() if _must_be_filled(election) else None)
    return Operator(
        settings=settings,
        platform=platform,
        intake=intake,
        queue=queue,
        beside=beside,
        metrics=metrics,
        health=health,
        election=election,
        watches=_watches(
            settings,
            platform,
            connection,
            [partial(_know, platform), intake.sighting, webhooks.sighting],
            (queue, beside),
            ask_all=ask_all,
        ),
        own_kinds=[
            Watch(connection, Scope(RESOURCES[kind], place, contents=True), partial(_take, intake))
            for kind in OWN_KINDS
            for place in settings.watch_namespaces or (None,)
        ],
        secrets=[
            Watch(
                connection,
                Scope(RESOURCES["Secret"], place, labels=OF_PROJECTS, contents=True),
                partial(_know, platform),
            )
            for place in settings.watch_namespaces or (None,)
        ],
        filled=filled,
        webhooks=webhooks,
        gateway=gateway,
        close_installations=installations.aclose,
        close_github=close_github,
    )


def _know(platform: Platform, seen: Seen) -> None:
    """Keep a child as the first list has it, so that the first run of its Project need not read it."""
    if seen.obj is not None and seen.event != "DELETED" and names.PROJECT_LABEL in seen.labels:
        platform.recent.keep(seen.obj)


def _must_be_filled(election: Election) -> bool:
    """Tell whether empty caches make the process unready. Standing by is being ready, and so is taking over."""
    return election.has_won and not election.took_over_within(TAKEOVER_SECONDS)


def _watch_objects(metrics: Metrics, platform: Platform) -> None:
    """Have the store counted whenever metrics are read."""

    for kind in OWN_KINDS:
        metrics.watch_objects(kind, partial(platform.store.count, kind))
        for state in TokenState:
            metrics.watch_tokens(kind, state.value, partial(platform.token_states.count, kind, state))


def _take(intake: Intake, seen: Seen) -> None:
    if seen.obj is not None:
        intake.own_kind(seen.event, seen.obj)


def _stuck(queue: WorkQueue, platform: Platform, filled: Latch) -> str | None:
    quiet = (platform.clock.now() - queue.turned).total_seconds()
    return f"has not turned for {quiet:.0f} s" if filled.is_set and quiet > LOOP_SECONDS else None


def observer(metrics: Metrics, store: Store) -> Observer:
    """Count each run by what came of it."""

    def observe(key: Key, found: Exception | None, seconds: float) -> None:
        if found is None:
            # A run that says in the status that a person must act has gone through all the same.
            result = Result.STALLED if store.is_stalled(key) else Result.OK
        elif isinstance(found, Trouble):
            result = result_of(found)
        else:
            result = Result.CHANGED if isinstance(found, Changed) else Result.DEFECT
        metrics.reconciled(key.kind, result, seconds)

    return observe


def _watches(
    settings: Settings,
    platform: Platform,
    connection: Connection,
    takers: Sequence[Callable[[Seen], None]],
    queues: Sequence[WorkQueue],
    *,
    ask_all: Callable[[], None],
) -> list[Watch]:
    """Return the watches on everything that is not one of the three kinds: metadata only, but for the policy."""
    scopes: list[Scope] = []
    for place in settings.watch_namespaces or (None,):
        scopes.append(Scope(RESOURCES["Secret"], place))
        scopes.append(Scope(RESOURCES["ServiceAccount"], place))
        scopes += [
            Scope(RESOURCES[kind], place, labels=MANAGED, contents_at_first=kind == "Deployment") for kind in LABELLED
        ]
    if not settings.watch_namespaces:
        scopes.append(Scope(RESOURCES["Namespace"]))
    if settings.watch_namespaces and settings.namespace not in settings.watch_namespaces:
        # The operator's own App, and what the gateway is told, are in a namespace that is not one of those.
        scopes += [
            Scope(RESOURCES["Secret"], settings.namespace, fields=f"metadata.name={name}")
            for name in (settings.github_app_secret, names.WEBHOOK_SECRET)
        ]
    policy = Scope(
        RESOURCES["ConfigMap"],
        settings.namespace,
        fields=f"metadata.name={settings.policy_configmap}",
        contents=True,
    )

    def policy_changed(seen: Seen) -> None:
        if adopt_policy(settings, platform, None if seen.event == "DELETED" else seen.obj):
            ask_all()

    def take(seen: Seen) -> None:
        for taker in takers:
            taker(seen)

    def back() -> None:
        for queue in queues:
            queue.cluster_is_back()

    sightings = (Watch(connection, scope, take, back=back) for scope in scopes)
    return [*sightings, Watch(connection, policy, policy_changed, back=back)]


def adopt_policy(settings: Settings, platform: Platform, found: Mapping[str, Any] | None) -> bool:
    """Take a changed policy over; one that cannot be read changes nothing. Tell whether there was anything new."""
    try:
        policy = from_config_map(_data(found))
    except PolicyError as problem:
        where = f"ConfigMap {settings.namespace}/{settings.policy_configmap}"
        log.error("%s is not used, the policy from before stays: %s", where, problem)  # noqa: TRY400 - no trace helps
        return False
    if policy == platform.policy:
        return False
    platform.policy, platform.allowed_hosts = policy, allowed_hosts(policy, settings)
    log.info("the administrator's policy has changed")
    return True


def _data(config_map: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """Return what is in a ConfigMap. One without data is there all the same: its key is missing."""
    return None if config_map is None else config_map.get("data") or {}
