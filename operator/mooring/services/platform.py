"""What every service shares and none decides: the ports, the administrator's policy, and the labels of namespaces."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mooring.domain import origins
from mooring.domain.errors import Stalled
from mooring.domain.policy import Policy
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.keys import Keys
from mooring.ports import Audit, Clock, Cluster, GitHub, GitHubWebhooks, Object, Origin
from mooring.services.herald import Herald
from mooring.services.recent import Recent
from mooring.services.secrets import Secrets
from mooring.services.store import Store
from mooring.services.token_states import TokenStates

# Own writes that are remembered until their event comes, which takes milliseconds.
KEPT_WRITES = 10_000


class Via(StrEnum):
    """What told of a push, for the metric."""

    APP = "app"
    HOOK = "hook"
    SWEEP = "sweep"


@dataclass(slots=True)
class Platform:
    """One for the whole operator."""

    cluster: Cluster
    github: GitHub
    webhooks: GitHubWebhooks
    audit: Audit
    clock: Clock
    store: Store
    secrets: Secrets
    herald: Herald
    recent: Recent
    # The API of the GitHub that is meant where an object names none.
    api_url: str
    sweep_interval: timedelta
    checkout_image: str
    policy: Policy
    allowed_hosts: origins.AllowedHosts
    # The operator's own namespace, and the name of the Secret there with its own App.
    namespace: str
    app_secret: str
    # Where gateways are reached from GitHub, if anywhere.
    public_base_url: str | None = None
    # Hosts that its large files may come from beside its own.
    large_file_hosts: tuple[str, ...] = ()
    # Certificates to trust at the operator's own GitHub, in PEM, for those who fetch from there.
    authorities: str | None = field(default=None, repr=False)
    # What is shared with the gateways; None until it was read or made, which is before the first run.
    webhook_keys: Keys | None = None
    # The newest version of the key of repository hooks that every gateway knows.
    hook_version: int | None = None
    # Told how many seconds passed from a push to its rollout, and what had told of the push.
    rolled_out: Callable[[float, Via], None] = lambda _seconds, _via: None
    # Labels by namespace; None where Mooring is confined and may not read namespaces.
    namespaces: dict[str, Mapping[str, str]] | None = field(default_factory=dict)
    # Managed objects that a watch has shown: kind, namespace, name.
    seen_children: set[tuple[str, str, str]] = field(default_factory=set)
    # Secrets with installation tokens that a watch has shown: those of outputs by namespace and label, the clone
    # credentials by the mark in their names.
    token_secrets: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    # How the token of each object stands.
    token_states: TokenStates = field(default_factory=TokenStates)
    # The version of each managed object that we wrote last, by the same key: its event is no news.
    own_writes: OrderedDict[tuple[str, str, str], str] = field(default_factory=OrderedDict)

    def wrote(self, stored: Object) -> None:
        """Remember a write of ours, so that its event is known again."""
        metadata = stored["metadata"]
        place = (stored["kind"], metadata["namespace"], metadata["name"])
        self.recent.keep(stored)
        self.own_writes[place] = metadata["resourceVersion"]
        self.own_writes.move_to_end(place)
        while len(self.own_writes) > KEPT_WRITES:
            self.own_writes.popitem(last=False)

    def time_at(self, origin: Origin | None, then: datetime) -> datetime:
        """Return the time by GitHub's clock at a moment of ours that has passed; None: there is no such clock.

        It is asked for after an answer, which has shown how far the two clocks are apart.
        """
        return then if origin is None else self.github.time_at(origin) - (self.clock.now() - then)

    def labels_of(self, namespace: str) -> Mapping[str, str] | None:
        """Return the labels of a namespace, or None where they cannot be known."""
        return None if self.namespaces is None else self.namespaces.get(namespace, {})

    def origin(self, api_url: str | None) -> Origin:
        """Return where an API URL leads; None means the operator's own."""
        try:
            url = origins.api_url(api_url or self.api_url)
        except origins.BadUrl as error:
            raise Stalled(Reason.INVALID_SPEC, f"spec.apiUrl: {error}.") from None
        if not self.allowed_hosts.allows(url):
            raise _not_allowed(str(origins.host_of(url)))
        return Origin(api_url=url, web_url=origins.web_url(url))

    def origin_of_host(self, host: str | None) -> Origin:
        """Return the GitHub that answers at a host; None means the operator's own."""
        own = self.origin(None)
        if host is None or str(origins.host_of(own.web_url)) == host:
            return own
        return self.origin(origins.api_at(host))

    def git_url(self, url: str) -> str:
        """Return a git URL in its one form, or say why it is not used."""
        try:
            if not self.allowed_hosts.allows(url):
                raise _not_allowed(str(origins.host_of(url)))
            return origins.git_url(url, self.allowed_hosts)
        except origins.BadUrl as error:
            raise Stalled(Reason.INVALID_SPEC, f"spec.source.git.url: {error}.") from None

    def serves(self, api_url: str, git_url: str) -> bool:
        """Tell whether a git URL is on the very origin that belongs to an API."""
        return origins.host_of(origins.web_url(api_url)) == origins.host_of(git_url)

    def authorities_at(self, url: str | None, bundle: str | None = None) -> str | None:
        """Return whom a checkout trusts beside the system's authorities, at a URL and with a bundle of its own."""
        own = self.authorities if url is not None and self.serves(self.api_url, url) else None
        return f"{own or ''}{bundle or ''}" or None

    def large_file_hosts_of(self, url: str) -> tuple[str, ...]:
        """Return where a checkout may get the large files of a repository from, beside its own host."""
        return origins.large_file_hosts(url, self.api_url, self.large_file_hosts)

    def authorities_for(self, api_url: str | None) -> str | None:
        """Return the same for where the repositories of an API are."""
        return self.authorities_at(None if api_url is None else origins.web_url(api_url))


def _not_allowed(host: str) -> Stalled:
    return Stalled(
        Reason.HOST_NOT_ALLOWED,
        f"The administrator has not allowed the host {host}. Ask for it in allowedHosts of the policy, or use another.",
    )
