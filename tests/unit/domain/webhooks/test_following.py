"""Whom a delivery concerns: only Projects for which the operator proved it, and whose spec still says that."""

from typing import Any

import pytest

from mooring.domain.webhooks.following import (
    Followed,
    followed,
    installation_named,
    origin_of_host,
    origin_of_installation,
    proven_facts,
)
from mooring.domain.webhooks.keys import Keys, from_master, hook_path_id, prove
from tests.unit.objects import raw, raw_project

KEYS = from_master({1: bytes(range(32))})
API, GHES = "https://api.github.com", "https://ghes.example.com/api/v3"
REPOSITORY_ID = 1296269


def installation(name: str = "ours", **spec: Any) -> dict[str, Any]:
    return raw("GitHubInstallation", name, {"installationId": 7, **spec})


def project(
    source: dict[str, Any] | None = None, ref: dict[str, Any] | None = None, *, name: str = "shop", **metadata: Any
) -> dict[str, Any]:
    spec: dict[str, Any] = {"source": {"github": {"repository": "acme/shop"}} if source is None else source}
    return raw_project(name, {**spec, **({"installationRef": ref} if ref else {})}, **metadata)


def proven(
    obj: dict[str, Any],
    lender: dict[str, Any] | None = None,
    *,
    keys: Keys = KEYS,
    default_api: str = API,
    branch: str = "main",
) -> dict[str, Any]:
    """Return a Project as the operator leaves it, once it read the repository."""
    facts = proven_facts(obj, lender, keys, default_api=default_api, repository_id=REPOSITORY_ID, branch=branch)
    assert facts is not None
    status = {"repositoryId": REPOSITORY_ID, "branch": branch, "proof": prove(keys, facts)}
    return {**obj, "status": {"source": status}}


def follows(obj: dict[str, Any], lender: dict[str, Any] | None = None, default_api: str = API) -> Followed | None:
    return followed(obj, lender, KEYS, default_api=default_api)


def with_spec(obj: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**obj, "spec": {**obj["spec"], **changes}}


def with_source(obj: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**obj, "status": {"source": {**obj["status"]["source"], **changes}}}


PATH_ID = hook_path_id(KEYS, origin=API, repository_id=REPOSITORY_ID, namespace="team-a")
HOOKED = proven(project())
OURS = installation()
LENT = proven(project(ref={"name": "ours"}), OURS)


def test_what_was_proven_is_followed() -> None:
    assert follows(HOOKED) == Followed(API, f"hook/{PATH_ID}", REPOSITORY_ID, "refs/heads/main")
    assert follows(LENT, OURS) == Followed(API, "installation/uid-ours/", REPOSITORY_ID, "refs/heads/main")


def test_the_git_hub_is_part_of_what_was_proven() -> None:
    own_app = installation(apiUrl=f"{GHES}/", appSecretRef={"name": "app"})

    found = follows(proven(project(ref={"name": "ours"}), own_app), own_app)
    assert found is not None
    assert found.origin == GHES
    assert follows(HOOKED, default_api=GHES) is None
    assert follows(LENT, OURS, default_api=GHES) is None
    assert follows(LENT, own_app) is None


def test_nothing_is_followed_without_a_status() -> None:
    assert follows(project()) is None
    assert follows({**project(), "status": {}}) is None
    assert follows({**project(), "status": {"source": None}}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *({"proof": None}, {"proof": ""}, {"proof": 7}, {"proof": "v1.AAAA"}),
        *({"repositoryId": None}, {"repositoryId": REPOSITORY_ID + 1}, {"repositoryId": str(REPOSITORY_ID)}),
        *({"repositoryId": True}, {"branch": None}, {"branch": "next"}, {"branch": 7}, {"branch": ""}),
    ],
)
def test_a_status_that_says_something_else_than_its_proof_counts_nothing(wrong: dict[str, Any]) -> None:
    assert follows(with_source(HOOKED, **wrong)) is None


# --- edits of the spec ---


@pytest.mark.parametrize(
    "spec",
    [
        {"source": None},
        {"source": {}},
        {"source": {"git": {"url": "https://github.com/acme/shop.git"}}},
        {"source": {"github": {"repository": "acme/shop"}, "branch": "next"}},
        {"source": {"github": {"repository": "acme/shop", "repositoryId": REPOSITORY_ID + 1}}},
        {"source": {"github": {"repository": "acme/shop", "host": "ghes.example.com"}}},
        {"source": {"github": {"repository": "acme/shop", "host": "not a host"}}},
    ],
)
@pytest.mark.parametrize("lent", [False, True])
def test_an_edit_ends_what_was_proven(spec: dict[str, Any], lent: bool) -> None:
    host = "host" in ((spec["source"] or {}).get("github") or {})
    edited = with_spec(LENT if lent else HOOKED, **spec)

    # With an installation it is that one's GitHub which counts; the operator refuses a host that is another.
    assert (follows(edited, OURS if lent else None) is None) == (not (lent and host))


def test_an_edit_that_says_the_same_ends_nothing() -> None:
    github = {"repository": "acme/shop", "repositoryId": REPOSITORY_ID, "host": "github.com"}

    assert follows(with_spec(HOOKED, source={"github": github, "branch": "main", "path": "web"})) == follows(HOOKED)


def test_another_installation_ends_what_was_proven() -> None:
    theirs, anew = installation("theirs"), installation(installationId=8)
    anew["metadata"]["uid"] = "uid-anew"

    assert follows(with_spec(LENT, installationRef={"name": "theirs"}), theirs) is None
    assert follows(LENT, anew) is None
    assert follows(LENT, None) is None
    assert follows(with_spec(LENT, installationRef=None), OURS) is None
    assert follows(with_spec(HOOKED, installationRef={"name": "ours"}), OURS) is None


def test_another_app_ends_what_was_proven() -> None:
    own, other = installation(appSecretRef={"name": "app"}), installation(appSecretRef={"name": "other"})
    lent = proven(project(ref={"name": "ours"}), own)

    assert follows(lent, own) == Followed(API, "installation/uid-ours/app", REPOSITORY_ID, "refs/heads/main")
    assert follows(lent, other) is None
    assert follows(lent, OURS) is None
    assert follows(LENT, own) is None


# --- copies ---


def test_a_copy_of_a_status_counts_nothing_elsewhere() -> None:
    """Another Project of this namespace, the same name in another one, and the same name made again."""
    for copy in (
        project(name="copy"),
        project(namespace="team-b", uid="uid-b"),
        project(uid="uid-anew"),
    ):
        assert follows({**copy, "status": HOOKED["status"]}) is None
        lent = with_spec(copy, installationRef={"name": "ours", "namespace": "team-a"})
        assert follows({**lent, "status": LENT["status"]}, OURS) is None


def test_a_repository_s_hook_is_of_one_namespace() -> None:
    """Even if a uid could be had twice."""
    assert follows({**project(namespace="team-b"), "status": HOOKED["status"]}) is None


def test_a_proof_of_other_keys_counts_nothing() -> None:
    others = from_master({1: bytes(32)}, id_key=KEYS.id_key)

    assert follows(proven(project(), keys=others)) is None


# --- what it is about ---


def test_an_installation_is_named_with_its_namespace() -> None:
    assert installation_named(project()) is None
    assert installation_named(project(ref={"name": "ours"})) == ("team-a", "ours")
    assert installation_named(project(ref={"name": "ours", "namespace": "team-b"})) == ("team-b", "ours")


@pytest.mark.parametrize(
    ("host", "default_api", "origin"),
    [
        (None, API, API),
        (None, GHES, GHES),
        ("github.com", API, API),
        ("github.com", GHES, API),
        ("ghes.example.com", GHES, GHES),
        ("ghes.example.com", API, GHES),
        ("ghes.example.com:8443", API, "https://ghes.example.com:8443/api/v3"),
        ("acme.ghe.com", "https://api.acme.ghe.com", "https://api.acme.ghe.com"),
        ("acme.ghe.com", API, "https://api.acme.ghe.com"),
        ("acme.ghe.com:8443", API, "https://acme.ghe.com:8443/api/v3"),
    ],
)
def test_a_host_has_one_origin(host: str | None, default_api: str, origin: str) -> None:
    assert origin_of_host(host, default_api) == origin


def test_an_installation_is_at_the_operator_s_git_hub_unless_it_says_so() -> None:
    assert origin_of_installation(installation(), GHES) == GHES
    assert origin_of_installation(installation(apiUrl="https://GHES.example.com:443/api/v3/"), API) == GHES
