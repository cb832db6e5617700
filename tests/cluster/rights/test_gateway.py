"""T4: what the gateway's account can do, tried at a real API server: read two kinds, write three fields of status."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from tests.cluster.accounts import ABOUT_ITSELF, Account, Right, shipped
from tests.cluster.conftest import Kube
from tests.cluster.harness import People
from tests.cluster.process import ROLE_PLACES, SYSTEM, apply_role, install_roles

NAME = "mooring-gateway"
MERGE, APPLY, JSON = "application/merge-patch+json", "application/apply-patch+yaml", "application/json"
KINDS = ("projects", "githubinstallations")
# T4, spelled once more: what the table says must come to this.
ALLOWED = {
    *((verb, "mooring.dev", kind, "") for kind in KINDS for verb in ("get", "list", "watch")),
    *(("patch", "mooring.dev", f"{kind}/status", "") for kind in KINDS),
}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# Verbs that no resource announces.
SILENT = [
    *(("impersonate", "", kind) for kind in ("users", "groups", "serviceaccounts")),
    *(("impersonate", "authentication.k8s.io", kind) for kind in ("uids", "userextras/scopes")),
    *((verb, "rbac.authorization.k8s.io", kind) for verb in ("bind", "escalate") for kind in ("roles", "clusterroles")),
    *((verb, "certificates.k8s.io", "signers") for verb in ("approve", "sign", "attest")),
    ("*", "*", "*"),
    ("*", "mooring.dev", "*"),
    ("get", "*", "*"),
]
# Namespaces; the empty one stands for all of them.
PLACES = ("", SYSTEM, "kube-system", "default")
# What every account may read without a resource, by the cluster's own roles.
OPEN_TO_ALL = ("/healthz", "/livez", "/readyz", "/version", "/api", "/apis", "/openapi/v3")
CLOSED = ("/metrics", "/logs", "/debug/pprof", "/configz", "/flagz", "/statusz")
PUSH = {"sha": "a" * 40, "ref": "refs/heads/main", "delivery": "d-1", "receivedAt": "2026-01-01T00:00:00Z"}
DELIVERIES = [{"delivery": "d-1", "event": "push"}]
HINT = {"event": "installation", "delivery": "d-1"}
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "observedGeneration": 1,
}
STATUS = {"source": {"proof": "p", "branch": "main"}, "conditions": [READY], "push": {"delivery": "d-0"}}


@pytest.fixture(scope="module")
def gateway(lab: Lab, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Return the gateway's account, as it is shipped, once its policy is in force."""
    install_roles(kube)
    folder = tmp_path_factory.mktemp("gateway")
    with Account(service_account_kubeconfig(lab.env, SYSTEM, NAME, folder / "kubeconfig")) as account:
        until_confined(kube, account)
        yield account


def until_confined(kube: Kube, gateway: Account) -> None:
    """Wait until the API server knows the policy, which it learns by a watch of its own."""
    people = People(kube, SYSTEM)
    people.apply("Project", "probe", {"workload": {"image": "nginx"}})
    place = f"{people.path('Project', 'probe')}/status?dryRun=All"
    for _ in range(1000):
        status, body = gateway.kube.request("PATCH", place, {"status": {"url": "https://example.com"}}, MERGE)
        if status == 403 and "ValidatingAdmissionPolicy" in body["message"]:
            break
    else:
        raise AssertionError(body)
    people.delete("Project", "probe")


@pytest.fixture
def people(kube: Kube, namespace: str, gateway: Account) -> People:
    """Return whoever administers a fresh namespace, in which there is one object of each kind."""
    people = People(kube, namespace)
    people.apply("Project", "shop", {"workload": {"image": "nginx"}})
    people.apply("Project", "new", {"workload": {"image": "nginx"}})
    people.apply("GitHubInstallation", "acme", {"account": "acme"})
    people.patch("Project", "shop", {"status": STATUS}, subresource="status")
    people.patch("GitHubInstallation", "acme", {"status": {"conditions": [READY]}}, subresource="status")
    people.secret("token", "nothing")
    return people


# --- everything that there is ---


def served(kube: Kube) -> set[tuple[str, str]]:
    """Return every resource and subresource that the API server has, each with its group."""
    versions = [("", "/api/v1")]
    status, body = kube.request("GET", "/apis")
    assert status == 200, body
    for group in body["groups"]:
        versions += [(group["name"], f"/apis/{version['groupVersion']}") for version in group["versions"]]
    found = set()
    for group, path in versions:
        status, body = kube.request("GET", path)
        assert status == 200, body
        found |= {(group, resource["name"]) for resource in body["resources"]}
    return found


def test_of_all_verbs_on_all_resources_the_gateway_has_those_of_t4(kube: Kube, gateway: Account) -> None:
    resources = served(kube)
    assert len(resources) > 100, "the discovery is not read as it is meant"
    announced = [(verb, group, resource) for verb, (group, resource) in product(VERBS, sorted(resources))]
    questions = list(product([*announced, *SILENT], PLACES))

    def ask(question: tuple[tuple[str, str, str], str]) -> bool:
        (verb, group, resource), namespace = question
        return gateway.may(verb, group, resource, "", namespace)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, questions))
    found = {question for question, answer in zip(questions, answers, strict=True) if answer}
    found = {(right, place) for right, place in found if right[2] not in ABOUT_ITSELF}
    assert found == {(right[:3], place) for right in ALLOWED for place in PLACES}


def test_the_rules_are_those_of_t4_and_no_name_opens_more(kube: Kube, gateway: Account) -> None:
    wanted: set[Right] = ALLOWED
    assert shipped("gateway-cluster-wide.yaml", "ClusterRole") == wanted
    assert shipped("gateway-namespaced.yaml", "Role") == wanted
    for namespace in ("default", SYSTEM, "kube-system"):
        assert gateway.rules(namespace) == wanted


def test_what_is_no_resource_is_closed_but_for_what_all_may_read(gateway: Account) -> None:
    assert {path: gateway.kube.request("GET", path)[0] for path in CLOSED} == dict.fromkeys(CLOSED, 403)
    assert {path: gateway.kube.request("GET", path)[0] for path in OPEN_TO_ALL} == dict.fromkeys(OPEN_TO_ALL, 200)


# --- real requests ---


def test_secrets_pods_tokens_and_rights_are_out_of_reach(people: People, gateway: Account) -> None:
    core, roles = f"/api/v1/namespaces/{people.namespace}", "/apis/rbac.authorization.k8s.io/v1"
    own, policies = f"/api/v1/namespaces/{SYSTEM}", "/apis/admissionregistration.k8s.io/v1"
    every: list[Any] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": NAME}}
    tried: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/secrets", None),
        ("GET", f"{core}/secrets", None),
        ("GET", f"{core}/secrets/token", None),
        ("GET", f"{core}/secrets?watch=true&timeoutSeconds=1", None),
        ("GET", f"{own}/secrets/mooring-webhook", None),
        ("PATCH", f"{own}/secrets/mooring-webhook", {"data": {}}),
        ("POST", f"{own}/serviceaccounts/{NAME}/token", ask),
        ("POST", f"{own}/serviceaccounts/mooring-operator/token", ask),
        ("POST", f"{core}/serviceaccounts/default/token", ask),
        ("POST", f"{core}/pods", {"metadata": {"name": "pod"}, "spec": {"containers": []}}),
        ("POST", f"{core}/pods/pod/exec?command=id&stdout=true", None),
        ("GET", f"{core}/pods/pod/log", None),
        ("GET", "/api/v1/nodes", None),
        ("GET", f"{core}/configmaps", None),
        ("GET", f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/mooring-operator", None),
        ("PATCH", f"{roles}/clusterroles/{NAME}", {**role, "rules": every}),
        ("POST", f"{roles}/clusterrolebindings", {"metadata": {"name": "more"}, "roleRef": role, "subjects": []}),
        ("DELETE", f"{policies}/validatingadmissionpolicies/{NAME}", None),
        ("PATCH", f"{policies}/validatingadmissionpolicybindings/{NAME}", {"spec": {"validationActions": ["Audit"]}}),
        ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", None),
        ("GET", f"/apis/mooring.dev/v1alpha1/namespaces/{people.namespace}/githubusers", None),
    ]
    answers = {
        (method, path): gateway.kube.request(method, path, body, MERGE if method == "PATCH" else JSON)
        for method, path, body in tried
    }
    assert {asked: body.get("reason") for asked, (_, body) in answers.items()} == dict.fromkeys(answers, "Forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate-User": "system:admin", "Impersonate-Group": "system:masters"},
        {"Impersonate-User": f"system:serviceaccount:{SYSTEM}:mooring-operator"},
        {"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"},
    ],
)
def test_the_gateway_is_nobody_else(people: People, gateway: Account, headers: dict[str, str]) -> None:
    status, body = gateway.kube.request("GET", people.path("Secret", "token"), headers=headers)
    assert (status, body["reason"]) == (403, "Forbidden")


def test_objects_are_read_and_nothing_of_them_is_changed(people: People, gateway: Account) -> None:
    for kind, name in (("Project", "shop"), ("GitHubInstallation", "acme")):
        place = people.path(kind, name)
        status, before = gateway.kube.request("GET", place)
        assert status == 200, before
        made = {**before, "metadata": {"name": "other"}}
        tried = [
            ("PATCH", place, {"spec": {"suspend": True}}, MERGE),
            ("PATCH", place, {"metadata": {"annotations": {"mooring.dev/redeploy": "now"}}}, MERGE),
            ("PATCH", f"{place}?fieldManager=x&force=true", {**made, "metadata": {"name": name}}, APPLY),
            ("PUT", place, before, JSON),
            ("PUT", f"{place}/status", before, JSON),
            ("POST", people.path(kind), made, JSON),
            ("DELETE", place, None, JSON),
            ("DELETE", people.path(kind), None, JSON),
        ]
        assert {gateway.kube.request(*one)[0] for one in tried} == {403}
        assert people.get(kind, name) == before


# --- three fields of status ---


def patch(account: Account, people: People, kind: str, name: str, body: Any, how: str = MERGE) -> tuple[int, Any]:
    """Patch an object's status as an account."""
    return account.kube.request("PATCH", f"{people.path(kind, name)}/status?fieldManager={NAME}", body, how)


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("Project", "shop", {"push": PUSH}),
        ("Project", "shop", {"push": PUSH, "deliveries": DELIVERIES}),
        ("Project", "shop", {"push": None}),
        ("Project", "new", {"push": PUSH, "deliveries": DELIVERIES}),
        ("GitHubInstallation", "acme", {"hint": HINT}),
    ],
)
def test_a_delivery_is_recorded(people: People, gateway: Account, kind: str, name: str, status: Any) -> None:
    before = people.get(kind, name)
    assert before is not None
    held = {"resourceVersion": before["metadata"]["resourceVersion"]}

    code, body = patch(gateway, people, kind, name, {"metadata": held, "status": status})

    assert code == 200, body
    wanted = {**before.get("status", {}), **status}
    for field, value in status.items():
        if isinstance(value, dict):
            wanted[field] = {**before.get("status", {}).get(field, {}), **value}
    assert body["status"] == {field: value for field, value in wanted.items() if value is not None}


def test_a_status_of_any_size_is_judged(people: People, gateway: Account) -> None:
    """What is dear to compare would be refused, and pushes be lost: the budget of a policy is bounded."""
    conditions = [{**READY, "type": f"T{number}", "message": "m" * 2048, "reason": "R" * 256} for number in range(16)]
    history = [{"sha": "a" * 40, "delivery": "d" * 64, "deployedAt": PUSH["receivedAt"]}] * 10
    large: list[tuple[str, str, Any, Any]] = [
        ("Project", "shop", {"history": history, "deliveries": DELIVERIES * 20}, {"push": PUSH}),
        ("GitHubInstallation", "acme", {"events": ["e" * 64] * 100}, {"hint": HINT}),
    ]
    for kind, name, more, own in large:
        people.patch(kind, name, {"status": {"conditions": conditions, **more}}, subresource="status")
        code, body = patch(gateway, people, kind, name, {"status": own})
        assert code == 200, body
        assert patch(gateway, people, kind, name, {"status": {"conditions": conditions[:15]}})[0] == 403


REFUSED: list[tuple[str, str, Any, str]] = [
    ("Project", "shop", {"status": {"conditions": []}}, MERGE),
    ("Project", "shop", {"status": {"conditions": [{**READY, "status": "False"}]}}, MERGE),
    ("Project", "shop", {"status": {"source": {"proof": "forged"}}}, MERGE),
    ("Project", "shop", {"status": {"source": {"delivery": "d-1"}}}, MERGE),
    ("Project", "shop", {"status": {"source": None}}, MERGE),
    ("Project", "shop", {"status": {"revision": {"sha": "b" * 40}}}, MERGE),
    ("Project", "shop", {"status": {"push": PUSH, "url": "https://example.com"}}, MERGE),
    ("Project", "shop", {"status": None}, MERGE),
    ("Project", "new", {"status": {"source": {"proof": "forged"}}}, MERGE),
    ("Project", "shop", [{"op": "remove", "path": "/status"}], "application/json-patch+json"),
    ("Project", "shop", [{"op": "add", "path": "/status/url", "value": "x"}], "application/json-patch+json"),
    ("GitHubInstallation", "acme", {"status": {"conditions": []}}, MERGE),
    ("GitHubInstallation", "acme", {"status": {"hint": HINT, "phase": "Active"}}, MERGE),
    ("GitHubInstallation", "acme", {"status": {"installationId": 1}}, MERGE),
]


@pytest.mark.parametrize(("kind", "name", "body", "how"), REFUSED, ids=[str(case[2])[:60] for case in REFUSED])
def test_any_other_field_is_refused(
    people: People, gateway: Account, kind: str, name: str, body: Any, how: str
) -> None:
    before = people.get(kind, name)

    code, answer = patch(gateway, people, kind, name, body, how)

    fields = "push and deliveries" if kind == "Project" else "hint"
    assert (code, answer["reason"]) == (403, "Forbidden")
    assert f"the gateway may change nothing of this status but {fields}" in answer["message"]
    assert people.get(kind, name) == before


def test_an_apply_is_held_to_the_same(people: People, gateway: Account) -> None:
    head = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Project", "metadata": {"name": "shop"}}

    codes = [
        patch(gateway, people, "Project", "shop", {**head, "status": status}, APPLY)[0]
        for status in ({"push": {"sha": "a" * 40}}, {"url": "https://example.com"})
    ]

    assert codes == [200, 403]


def test_what_is_no_status_does_not_pass_with_one(people: People, gateway: Account) -> None:
    before = people.get("Project", "shop")
    assert before is not None
    owner = {"apiVersion": "v1", "kind": "Secret", "name": "token", "uid": "1"}
    more = {"labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["a.b/c"], "ownerReferences": [owner]}

    code, answer = patch(
        gateway, people, "Project", "shop", {"metadata": more, "spec": {"suspend": True}, "status": {"push": PUSH}}
    )

    assert code == 200, answer
    assert answer["spec"] == before["spec"]
    assert {field: answer["metadata"].get(field) for field in more} == {
        field: before["metadata"].get(field) for field in more
    }


# --- the policy by itself ---


@contextmanager
def all_rights(kube: Kube, account: Account, name: str) -> Iterator[None]:
    """Give an account every right on our kinds, as by an administrator's mistake."""
    rule = {"apiGroups": ["mooring.dev"], "resources": ["*"], "verbs": ["*"]}
    version = "rbac.authorization.k8s.io/v1"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "too-much"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}
    head = {"apiVersion": version, "metadata": {"name": "too-much"}}
    apply_role(kube, {**head, "kind": "ClusterRole", "rules": [rule]}, "")
    apply_role(kube, {**head, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}, "")
    while not account.may("delete", "mooring.dev", "projects", "", ""):
        pass
    yield
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        assert kube.request("DELETE", f"{ROLE_PLACES[kind]}/too-much")[0] == 200
    while account.may("delete", "mooring.dev", "projects", "", ""):
        pass


def wrong(people: People) -> list[tuple[str, str, Any, str]]:
    """Return requests that the gateway never makes, whatever it may."""
    users, shop = people.path("GitHubUser"), people.path("Project", "shop")
    user = {"apiVersion": "mooring.dev/v1alpha1", "kind": "GitHubUser", "metadata": {"name": "eve"}, "spec": {}}
    return [
        ("POST", users, user, JSON),
        ("PATCH", shop, {"spec": {"suspend": True}}, MERGE),
        ("PATCH", f"{shop}/status", {"status": {"url": "https://example.com"}}, MERGE),
        ("PATCH", people.path("GitHubUser", "bob"), {"spec": {"suspend": True}}, MERGE),
        ("PATCH", f"{people.path('GitHubUser', 'bob')}/status", {"status": {"tokenSet": True}}, MERGE),
        ("DELETE", people.path("GitHubInstallation", "acme"), None, JSON),
        ("DELETE", people.path("Project"), None, JSON),
    ]


def test_with_every_right_the_policy_still_holds(kube: Kube, people: People, gateway: Account) -> None:
    people.apply("GitHubUser", "bob", {})
    with all_rights(kube, gateway, NAME):
        answers = [gateway.kube.request(*one) for one in wrong(people)]
        status, body = patch(gateway, people, "Project", "shop", {"status": {"push": PUSH}})
    assert [(code, f"policy '{NAME}'" in answer["message"].lower()) for code, answer in answers] == [(403, True)] * 7
    assert status == 200, body


def test_nobody_else_is_asked(lab: Lab, kube: Kube, people: People, gateway: Account, tmp_path: Path) -> None:
    people.apply("GitHubUser", "bob", {})
    other = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", tmp_path / "kubeconfig")
    with Account(other) as operator, all_rights(kube, operator, "mooring-operator"):
        assert {operator.kube.request(*one)[0] for one in wrong(people)} <= {200, 201}
