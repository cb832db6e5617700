"""Two tenants: one sets every field of its objects to every identifier of the other's, and gains nothing by it.

What it reads is held, word for word, against what a third tenant reads that names things which nobody has. That the
checks would notice a use is shown first, with a tenant to whom the owner did grant one.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any

import pytest

from lab import Lab
from tests.cluster import quiet
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.harness import Hub, People
from tests.cluster.process import Mooring, policy, running_operator
from tests.cluster.tenancy import IMAGE, PORTS, Attempt, Identifiers, attempts, disguised, references

# Told of a moment or of one object alone, so that they differ between any two tenants.
VOLATILE = ("lastTransitionTime", "deployedAt", "updatedAt", "since", "readAt", "fingerprint")


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """Run the operator with a policy under which tenants may publish."""
    allowed = {"ingress": {"hostSuffixes": ["example.com"]}}
    with (
        policy(kube, allowed),
        # Whose token GitHub sees is to be told by what somebody tries, not by what is swept meanwhile.
        running_operator(lab, kube, tmp_path_factory.mktemp("tenants"), module=quiet.__name__) as running,
    ):
        yield running


@pytest.fixture
def tenants(kube: Kube, mooring: Mooring, namespace: str) -> Iterator[dict[str, People]]:
    """Return the people of four fresh namespaces: the owner, the granted, the intruder, and who names nothing real."""
    places = {role: f"{namespace}-{role}" for role in ("owner", "granted", "intruder", "dreamer")}
    for place in places.values():
        status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": place}})
        assert status == 201, body
    yield {role: People(kube, place) for role, place in places.items()}
    for place in places.values():
        kube.request("DELETE", f"/api/v1/namespaces/{place}")


def test_another_tenants_identifiers_give_nothing(tenants: dict[str, People], hub: Hub) -> None:
    owner, granted, intruder, dreamer = tenants.values()
    logins = {"global": "bob", "acme": "alice", "project": "alice", "copied": "alice"}
    tokens = {name: hub.token(f"owner-{name}", login) for name, login in logins.items()}
    # Its commit is nowhere else.
    hub.seed(repositories=[{"owner": "acme", "name": "vault", "private": True, "files": {"vault.txt": "of the owner"}}])
    real = settle_owner(owner, granted.namespace, tokens)
    absent = nobodys(hub, owner.namespace)

    # The checks notice a use: the granted tenant's objects are the intruder's own, and they get the token.
    mark = hub.mark()
    for attempt in references(real):
        apply(granted, attempt)
    assert granted.settled("user-there")["status"]["token"]["source"] == "global"
    assert granted.settled("user-there-global")["status"]["token"]["source"] == "global"
    assert uses(hub, mark) == {"owner-acme"}
    assert holders(granted, tokens) == {"user-there-default-token", "user-there-global-default-token"}

    before = everything_of(owner)
    mark = hub.mark()
    for people, names, role in ((intruder, real, "intruder"), (dreamer, absent, "dreamer")):
        people.secret("own", hub.token(f"own-{role}", "carol"))
        people.create("Secret", disguised(names))
    # GitHubUsers first: a Project that is seen before its user says so until then.
    for kind in ("GitHubUser", "Project"):
        for act in (apply, finish):
            for people, names in ((intruder, real), (dreamer, absent)):
                for attempt in attempts(names, people.namespace, kind):
                    act(people, attempt)

    # The counts of users come some seconds after their Projects.
    deadline = time.monotonic() + PATIENCE
    while differences := list(unified_diff(words(intruder, real), words(dreamer, absent), lineterm="")):
        assert time.monotonic() < deadline, "\n".join(differences)
        time.sleep(0.5)
    assert uses(hub, mark) == set()
    assert holders(intruder, tokens) == set()
    assert requests_about(hub, mark, real) == requests_about(hub, mark, absent)
    assert everything_of(owner) == before


def test_the_host_of_another_tenant_is_refused_without_a_word_about_who_has_it(tenants: dict[str, People]) -> None:
    # That a host is taken cannot be hidden: whoever asks its DNS name knows it, too.
    owner, _, intruder, _ = tenants.values()
    expose = {"host": f"{owner.namespace}.example.com"}
    owner.apply("Project", "first-of-its-host", {"workload": PORTS, "expose": expose})
    owner.until_condition("first-of-its-host", "Ready", "True", "Ready")
    intruder.apply("Project", "second", {"workload": PORTS, "expose": expose})
    found = intruder.until_condition("second", "Stalled", "True", "HostConflict")
    told = json.dumps([found["status"], events(intruder)]).replace(expose["host"], "")
    assert owner.namespace not in told
    assert "first-of-its-host" not in told
    assert intruder.list("Ingress") == []


# --- the tenants ---


def settle_owner(owner: People, granted: str, tokens: Mapping[str, str]) -> Identifiers:
    """Give the owner one of everything, and wait until it is settled."""
    owner.secret("private-secret", tokens["copied"])
    owner.secret("private-acme", tokens["acme"])
    owner.secret("private-own", tokens["project"])
    owner.secret("user-plain-global-secrets", tokens["global"])
    owner.create(
        "ServiceAccount",
        {"metadata": {"name": "private-robot", "annotations": {"mooring.dev/allow-projects": "true"}}},
    )
    user = owner.apply(
        "GitHubUser",
        "private-user",
        {
            "userId": "private-id",
            "tokenSecretRef": {"name": "private-secret"},
            "tokens": [{"name": "acme", "owners": ["acme"], "secretRef": {"name": "private-acme"}}],
            "grants": [{"namespaces": {"names": [granted]}}],
        },
    )
    owner.apply("GitHubUser", "plain", {})
    owner.apply("GitHubInstallation", "private-installation", {"account": "acme"})
    source = {"github": {"repository": "acme/vault"}}
    account = {**IMAGE, "serviceAccountName": "private-robot"}
    ref = {"name": "private-user"}
    owner.apply("Project", "private-project", {"source": source, "userRef": ref, "workload": account})
    token = {"secretRef": {"name": "private-own"}}
    owner.apply("Project", "private-other", {"source": source, "token": token, "workload": IMAGE})
    for name in ("private-user", "plain"):
        owner.until_condition(name, "Ready", "True", "Ready", kind="GitHubUser")
    owner.until_condition("private-other", "Ready", "True", "Ready")
    found = owner.until_condition("private-project", "Ready", "True", "Ready")
    learned = found["status"]["source"]
    return Identifiers(
        namespace=owner.namespace,
        user="private-user",
        user_id="private-id",
        secret="private-secret",
        project="private-project",
        installation="private-installation",
        account="private-robot",
        certificate="private-certificate",
        pull="private-pull",
        repository="acme/vault",
        repository_id=learned["repositoryId"],
        clone_url=clone_url(owner, "private-project"),
        sha=learned["decidedSha"],
        uid=user["metadata"]["uid"],
    )


def clone_url(people: People, project: str) -> str:
    """Return where a Project's source is cloned from, as its checkout container is told."""
    deployment = people.get("Deployment", f"{project}-default")
    assert deployment is not None
    texts = json.dumps(deployment["spec"]["template"]["spec"]["initContainers"])
    return "https://" + texts.partition("https://")[2].partition(".git")[0] + ".git"


def nobodys(hub: Hub, namespace: str) -> Identifiers:
    """Return identifiers of the same kind that nothing has."""
    return Identifiers(
        namespace=f"{namespace}-nowhere",
        user="absent-user",
        user_id="absent-id",
        secret="absent-secret",
        project="absent-project",
        installation="absent-installation",
        account="absent-robot",
        certificate="absent-certificate",
        pull="absent-pull",
        repository="acme/absent",
        repository_id=987_654_321,
        clone_url=f"{hub.web_url}/acme/absent.git",
        sha="0123456789abcdef0123456789abcdef01234567",
        uid="00000000-0000-4000-8000-000000000000",
    )


def apply(people: People, attempt: Attempt) -> None:
    """Make the object."""
    people.apply(attempt.kind, attempt.name, attempt.spec, metadata=dict(attempt.metadata))


def finish(people: People, attempt: Attempt) -> None:
    """Wait until the operator is done with an object; where a status is to be faked, fake it and wait again."""
    people.settled(attempt.name, kind=attempt.kind)
    if attempt.status is not None:
        people.patch(attempt.kind, attempt.name, {"status": dict(attempt.status)}, subresource="status")
        people.settled(attempt.name, kind=attempt.kind)


# --- what came of it ---


def uses(hub: Hub, since: int) -> set[str]:
    """Return which of the owner's credentials GitHub has seen."""
    return {entry["credential"] for entry in hub.journal(since) if entry["credential"].startswith("owner-")}


def requests_about(hub: Hub, since: int, names: Identifiers) -> set[tuple[str, str, str, int]]:
    """Return what GitHub was asked about a repository: method, path, whose credential, and its answer."""
    return {
        (entry["method"], path, entry["credential"].partition("-")[0], entry["status"])
        for entry in hub.journal(since)
        if "<repository" in (path := names.hidden(entry["path"]))
    }


def holders(people: People, tokens: Mapping[str, str]) -> set[str]:
    """Return which objects of a namespace carry one of the tokens: Secrets in their data, all others anywhere."""
    found = set()
    for kind in ("Secret", "Deployment", "ReplicaSet", "Pod", "Service", "Ingress", "Project", "GitHubUser", "Event"):
        for obj in people.list(kind):
            values = [base64.b64decode(value).decode() for value in (obj.get("data") or {}).values()]
            texts = [json.dumps(obj), *values]
            if any(token in text for token in tokens.values() for text in texts):
                found.add(obj["metadata"]["name"])
    return found


def events(people: People) -> list[tuple[str, str, str, str, str]]:
    """Return what the Events of a namespace say of our kinds."""
    return sorted(
        (
            event["regarding"]["kind"],
            event["regarding"]["name"],
            event["type"],
            event["reason"],
            event.get("note", ""),
        )
        for event in people.list("Event")
        if event["regarding"].get("apiVersion") == "mooring.dev/v1alpha1"
    )


def words(people: People, names: Identifiers) -> list[str]:
    """Return all that a tenant is told, line by line, with roles in place of identifiers, and without times."""
    told = [
        (kind, obj["metadata"]["name"], _lasting(obj.get("status") or {}))
        for kind in ("Project", "GitHubUser")
        for obj in people.list(kind)
    ]
    texts = [json.dumps(entry, sort_keys=True, indent=1) for entry in (*told, *events(people))]
    return "\n".join(sorted(names.hidden(text).replace(people.namespace, "<own>") for text in texts)).splitlines()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(entry) for key, entry in value.items() if key not in VOLATILE}
    return [_lasting(entry) for entry in value] if isinstance(value, list) else value


def everything_of(people: People) -> dict[str, Any]:
    """Return the objects of a namespace, without the counts that grants change."""
    found = {}
    for kind in ("Secret", "Deployment", "Service", "Ingress", "Project", "GitHubUser", "GitHubInstallation"):
        for obj in people.list(kind):
            status = {key: value for key, value in (obj.get("status") or {}).items() if key != "projects"}
            kept = (obj["metadata"]["uid"], obj["metadata"].get("generation"), obj.get("data"), obj.get("spec"), status)
            found[f"{kind} {obj['metadata']['name']}"] = kept
    return found
