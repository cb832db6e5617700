"""No verb too many and none too few: the operator does all its kinds of work, and the audit log says what for.

Kubernetes notes for each request by which Role it was allowed. It runs confined first, since only there the rights in
its own namespace are not covered by those for all namespaces; then another takes over who works in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from mooring.domain.names import DELIVERIES_CONFIG_MAP, GATEWAY_ACCOUNT, WEBHOOK_KEY, WEBHOOK_SECRET
from mooring.domain.webhooks.cursors import parse
from mooring.rbac import table
from mooring.services.delivery_cursors import KEY
from tests.cluster.accounts import Right, shipped
from tests.cluster.conftest import ROOT, Kube, install_kinds
from tests.cluster.cutting import CuttingProxy
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import data_of, install, make_account, make_app, output, put_app, refer, slow
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    apply_role,
    install_role,
    install_roles,
    operator_environment,
    policy,
    start_operator,
    wait_ready,
)
from tests.cluster.token_life import until

ACCOUNTS = tuple(f"system:serviceaccount:{SYSTEM}:{name}" for name in ("mooring-operator", GATEWAY_ACCOUNT))
# As Kubernetes names them.
OWN, WATCHED, EVERYWHERE = (
    f'{kind} "mooring-operator{more}"' for kind, more in (("Role", ""), ("Role", "-watched"), ("ClusterRole", ""))
)
# Nobody listens there.
CLOSED = "http://127.0.0.1:9"
KIND, GLOBAL = "GitHubInstallation", "user-default-global-secrets"
OPEN = {"github": {"repository": "acme/open"}}
PUBLISHED = {"image": "nginx", "ports": [{"containerPort": 8080}], "serviceAccountName": "robot"}


@dataclass(frozen=True)
class Request:
    """One request of the audit log."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    why: str

    def uses(self, right: Right) -> bool:
        """Tell whether it needs a right. An apply that makes its object is asked for `create` as well."""
        verb, *place, name = right
        verbs = {self.verb, "create"} if (self.verb, self.code) == ("patch", 201) else {self.verb}
        return verb in verbs and place == [self.group, self.resource] and name in {"", self.name}


def requests(lab: Lab) -> list[Request]:
    """Return what our accounts asked of the API server about resources. Kubernetes writes a line for each at once."""
    found = []
    for file in sorted(lab.folder.path.glob("audit*.log")):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if entry["user"]["username"] in ACCOUNTS and "objectRef" in entry:
                found.append(request(entry))
    return found


def request(entry: dict[str, Any]) -> Request:
    """Read an entry of the audit log."""
    what = entry["objectRef"]
    parts = (what["resource"], what.get("subresource"))
    return Request(
        account=entry["user"]["username"],
        verb=entry["verb"],
        group=what.get("apiGroup", ""),
        resource="/".join(part for part in parts if part),
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        code=entry["responseStatus"]["code"],
        why=entry["annotations"].get("authorization.k8s.io/reason", ""),
    )


def unused(asked: list[Request], role: str, rights: set[Right]) -> set[Right]:
    """Return the rights of a Role that no request was allowed by."""
    by_role = [one for one in asked if f" of {role} " in one.why]
    assert by_role, f"no request was allowed by {role}"
    return {right for right in rights if not any(one.uses(right) for one in by_role)}


def unchecked() -> set[Right]:
    """Return the rights that something else than the API server asks for."""
    return {
        (verb, grant.group, resource, name)
        for grant in (*table.WATCHED, *table.CLUSTER, *table.own())
        if grant.checked_by
        for verb in grant.verbs
        for resource in grant.resources
        for name in grant.names or ("",)
    }


# --- the place ---


@dataclass
class Place:
    """A lab of its own, whose API server keeps an audit log, and the namespace that the operator is confined to."""

    lab: Lab
    kube: Kube
    hub: Hub
    people: People


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Begin without any right in the whole cluster."""
    lab = Lab.up(tmp_path_factory.mktemp("rights"), audit=True)
    kube, hub = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"]), Hub(lab.env)
    try:
        install_kinds(kube)
        for name in (SYSTEM, "team"):
            assert kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
        install_role(kube, "operator.yaml")
        install_watched(kube, "team")
        hub.seed(users=[{"login": "alice"}, {"login": "bob"}])
        yield Place(lab, kube, hub, People(kube, "team"))
    finally:
        hub.close()
        kube.close()
        lab.down()


def install_watched(kube: Kube, namespace: str) -> None:
    """Apply the Role for one namespace without what only an admission plugin asks for, which is not on here."""
    left_out = unchecked()
    assert left_out
    for manifest in yaml.safe_load_all((ROOT / "manifests" / "rbac" / "namespaced.yaml").read_text()):
        for rule in manifest.get("rules", ()):
            rule["resources"] = [
                resource
                for resource in rule["resources"]
                if not any(right[1:3] == (rule["apiGroups"][0], resource) for right in left_out)
            ]
        if "rules" in manifest:
            manifest["rules"] = [rule for rule in manifest["rules"] if rule["resources"]]
        apply_role(kube, manifest, namespace)


class NoStreams:
    """An API server that streams no lists: its feature is off."""

    async def meet(self, request: web.Request) -> web.StreamResponse | None:
        """Refuse them as it does."""
        if "sendInitialEvents" not in request.query:
            return None
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid"}
        return web.json_response(status, status=422)


@contextmanager
def without_streams(place: Place) -> Iterator[CuttingProxy]:
    """Return a way to the API server on which it streams no lists."""
    proxy = CuttingProxy(Access.load(Path(place.lab.env["KUBECONFIG"])))
    proxy.trouble = NoStreams()
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@contextmanager
def operators(place: Place, folder: Path) -> Iterator[Any]:
    """Return what starts one more operator; all are ended at the end of the block."""
    with ExitStack() as stack:

        def start(name: str, proxy: CuttingProxy | None = None, **more: str) -> Mooring:
            (folder / name).mkdir()
            file = folder / name / "kubeconfig"
            kubeconfig = service_account_kubeconfig(place.lab.env, SYSTEM, "mooring-operator", file)
            if proxy is not None:
                proxy.lead_here(kubeconfig)
            mooring = start_operator(operator_environment(place.lab, kubeconfig, **more), folder / name)
            stack.callback(lambda: mooring.process.poll() is None and mooring.stop())
            return mooring

        yield start


# --- all kinds of work ---


def test_every_verb_is_used_and_none_is_missing(place: Place, tmp_path: Path) -> None:
    people, hub = place.people, place.hub
    company, shared = make_account(hub, "shop"), make_app(hub, webhook={"url": f"{CLOSED}/webhooks/github"})
    install(hub, shared, company.login)
    # Its delivery fails.
    hub.control("POST", "/push", {"repository": f"{company.login}/shop", "user": "alice", "files": {"b.txt": "b"}})
    bound = {
        "apiUrl": hub.api_url,
        "appId": shared.app_id,
        "accountId": company.id,
        "namespaces": [people.namespace],
    }
    rules = {"ingress": {"hostSuffixes": ["example.com"]}, "allowedHosts": [hub.web_url.removeprefix("https://")]}
    with (
        policy(place.kube, {**rules, "bindings": [bound]}),
        without_streams(place) as proxy,
        operators(place, tmp_path) as start,
    ):
        (tmp_path / "volume").mkdir()
        first = start(
            "first",
            MOORING_WATCH_NAMESPACES=people.namespace,
            MOORING_GATEWAY_TOKEN_DIR=str(tmp_path / "volume"),
            MOORING_PUBLIC_BASE_URL=CLOSED,
            MOORING_DEVELOPMENT="true",
            # Failed deliveries are looked at for the first time before that is over.
            MOORING_SWEEP_INTERVAL="15s",
        )
        wait_ready(first)
        put_app(People(place.kube, SYSTEM), shared, "mooring-github-app", webhookSecret="of-the-operators-own-app")
        People(place.kube, SYSTEM).until("Secret", WEBHOOK_SECRET, tells_of_an_app, "the operator's App")
        live_with_tokens(people, hub)
        live_with_installations(people, hub, company.login)
        be_in_the_way(people, hub)
        # Lists are needed where they cannot be streamed.
        second = start("second", proxy, MOORING_WATCH_NAMESPACES=people.namespace)
        second.until_logged("the admin server listens")
        assert first.stop() == 0
        wait_ready(second)
        install_roles(place.kube)
        heir = start("heir")
        heir.until_logged("the admin server listens")
        assert second.stop() == 0
        wait_ready(heir)
        people.apply("Project", "last", {"workload": {"image": "nginx"}})
        people.until_condition("last", "Ready", "True", "Ready")

    asked = requests(place.lab)
    assert [one for one in asked if one.code == 403] == []
    assert unused(asked, OWN, shipped("operator.yaml", "Role")) == set()
    watched = shipped("namespaced.yaml", "Role")
    assert unused(asked, WATCHED, watched) == unchecked()
    assert unused(asked, EVERYWHERE, shipped("cluster-wide.yaml", "ClusterRole") - watched) == set()


def tells_of_an_app(secret: Object | None) -> bool:
    """Tell whether the gateway knows an App."""
    return secret is not None and bool(json.loads(data_of(secret)[WEBHOOK_KEY])["apps"])


def is_noted_twice(found: Object | None) -> bool:
    """Tell whether it was noted that a delivery is to be asked for, and then that it was."""
    cursors = parse(found["data"][KEY]) if found is not None else {}
    return any(asked.is_sure for cursor in cursors.values() for asked in cursor.asked.values())


def live_with_tokens(people: People, hub: Hub) -> None:
    """Have users and Projects made, changed, repaired and removed."""
    account = {"metadata": {"name": "robot", "annotations": {"mooring.dev/allow-projects": "true"}}}
    people.create("ServiceAccount", account)
    people.secret("global", hub.token("global", "alice"))
    people.secret("own", hub.token("own", "bob"))
    people.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "global"}})
    people.apply("Project", "shop", {"workload": PUBLISHED, "expose": {"host": "shop.example.com"}})
    own = {"userRef": {"name": "nobody"}, "token": {"secretRef": {"name": "own"}}, "workload": {"image": "nginx"}}
    people.apply("Project", "own", own)
    for name in ("shop", "own"):
        people.until_condition(name, "Ready", "True", "Ready")
    # A change of each child, and its end.
    people.secret("global", hub.token("rotated", "alice"))
    edit(people, "Service", {"selector": {"mooring.dev/project": "another"}})
    edit(people, "Ingress", {"rules": [{"host": "another.example.com"}]})
    people.delete("Deployment", "own-default")
    people.until("Deployment", "own-default", lambda deployment: deployment is not None, "its return")
    people.until_condition("shop", "Ready", "True", "Ready")
    people.apply("Project", "shop", {"token": {"source": "none"}, "workload": {"image": "nginx"}})
    for kind, name in (("Service", "shop-default"), ("Ingress", "shop-default"), ("Secret", "shop-default-token")):
        people.until(kind, name, lambda child: child is None, "its end")
    # A repository with a webhook of its own.
    hub.seed(repositories=[{"owner": "alice", "name": "hooked", "files": {"a.txt": "a"}}])
    source = {"github": {"repository": "alice/hooked"}}
    people.apply("Project", "hooked", {"source": source, "workload": {"image": "nginx"}})
    people.until_condition("hooked", "WebhookReady", "True", "HookDelivers")
    for name in ("own", "shop", "hooked"):
        people.delete("Project", name)
        people.until("Project", name, lambda project: project is None, "its end")


def edit(people: People, kind: str, spec: Object) -> None:
    """Change a child of a Project as with an editor, and wait for its repair."""
    before = people.get(kind, "shop-default")
    assert before is not None
    people.patch(kind, "shop-default", {"spec": spec})
    people.until(kind, "shop-default", lambda child: child is not None and child["spec"] == before["spec"], "repair")


def be_in_the_way(people: People, hub: Hub) -> None:
    """Refer to what is not there, which is asked for once, and change an object while its status is found out."""
    nobody = {"name": "nobody"}
    people.apply("Project", "early", {"userRef": nobody, "workload": {"image": "nginx"}})
    people.apply("Project", "first", {"source": OPEN, "installationRef": nobody, "workload": {"image": "nginx"}})
    people.until_condition("early", "Stalled", "True", "UserNotFound")
    people.until_condition("first", "Stalled", "True", "InstallationNotFound")
    stuck = {"workload": {"image": "nginx", "nodeSelector": {"example.com/there-is": "no-such-node"}}}
    people.apply("Project", "stuck", stuck)
    people.until("Project", "stuck", lambda project: "no node takes it" in str(project), "the reason")
    people.secret("slow", hub.token("slow", "bob"))
    with slow(hub, "*/user", 2) as is_asked:
        people.apply("Project", "slow", {"token": {"secretRef": {"name": "slow"}}, "workload": {"image": "nginx"}})
        until(is_asked, "a question who owns the token")
        people.patch("Project", "slow", {"metadata": {"annotations": {"example.com/touched": "now"}}})
        people.until_condition("slow", "Ready", "True", "Ready")


def live_with_installations(people: People, hub: Hub, login: str) -> None:
    """Have installations made by the operator's App and by an own one, used and removed."""
    own = make_app(hub)
    install(hub, own, login)
    put_app(people, own)
    people.create("ConfigMap", {"metadata": {"name": "ca"}, "data": {"ca.crt": Path(hub.ca_file).read_text()}})
    people.apply(KIND, "bound", {"account": login, "outputs": [output("ci")]})
    trusted = {"apiUrl": hub.api_url, "caBundle": {"configMapRef": {"name": "ca"}}}
    people.apply(KIND, "own", {"account": login, "appSecretRef": {"name": "app"}, **trusted})
    refer(people, "cloned", f"{login}/shop", installation="own")
    for name in ("bound", "own"):
        people.until_condition(name, "Ready", "True", "Ready", kind=KIND)
    people.until_condition("cloned", "Ready", "True", "Ready")
    People(people.kube, SYSTEM).until("ConfigMap", DELIVERIES_CONFIG_MAP, is_noted_twice, "a delivery asked for")
    for name in ("bound", "own"):
        people.delete(KIND, name)
        people.until(KIND, name, lambda obj: obj is None, "its end")
