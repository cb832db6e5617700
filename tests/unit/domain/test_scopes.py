"""Scopes: nobody gets more than each ceiling allows, and only what is alike in everything is shared."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mooring.domain.errors import Stalled
from mooring.domain.installations import InstallationFacts
from mooring.domain.policy import Binding
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation, TokenOutput
from mooring.domain.scopes import (
    CLONE_PERMISSIONS,
    MOST_REPOSITORIES,
    Scope,
    clone_scope,
    grants_repository,
    may_refer,
    output_scope,
    request_digest,
    token_key,
)
from tests.unit.objects import raw

RANK = {"read": 1, "write": 2, "admin": 3}
ALL = {"contents": "admin", "issues": "admin", "metadata": "read", "actions": "admin"}


def installation(**spec: Any) -> GitHubInstallation:
    return GitHubInstallation.model_validate(raw("GitHubInstallation", "acme", {"account": "acme", **spec}))


def output(**fields: Any) -> TokenOutput:
    return TokenOutput.model_validate({"secretName": "ci", "format": "Token", **fields})


def bound(**fields: Any) -> Binding:
    described = {"apiUrl": "https://api.github.com", "appId": 1, "accountId": 7, "namespaces": ["team-a"]}
    return Binding.model_validate({**described, **{k: v for k, v in fields.items() if v is not None}})


def facts(permissions: Mapping[str, str] = ALL, login: str = "Acme") -> InstallationFacts:
    return InstallationFacts(5, 1, "mooring", 7, login, "Organization", "", "all", permissions, (), suspended=False)


def scope(
    spec: dict[str, Any], wish: dict[str, Any], binding: Binding | None = None, found: InstallationFacts | None = None
) -> Scope:
    return output_scope(installation(**spec).spec, output(**wish), binding, found or facts())


def refusal(*args: Any) -> Stalled:
    with pytest.raises(Stalled) as caught:
        scope(*args)
    return caught.value


# --- outputs: a table ---

READ, WRITE = {"contents": "read"}, {"contents": "write"}


@pytest.mark.parametrize(
    ("spec", "wish", "binding", "granted", "result"),
    [
        ({}, {}, None, ALL, Scope(None, None)),
        ({}, {}, bound(), ALL, Scope(None, None)),
        ({}, {"permissions": READ}, None, ALL, Scope(READ, None)),
        ({"permissions": WRITE}, {}, None, ALL, Scope(WRITE, None)),
        ({"permissions": WRITE}, {"permissions": READ}, bound(permissions=WRITE), ALL, Scope(READ, None)),
        ({"permissions": WRITE}, {}, bound(permissions=READ), ALL, Scope(READ, None)),
        ({"permissions": READ}, {}, bound(permissions={"contents": "admin", "issues": "read"}), ALL, Scope(READ, None)),
        # A ceiling allows and does not ask: what GitHub never granted is left out, or is lower.
        ({"permissions": {"contents": "admin", "issues": "read"}}, {}, None, READ, Scope(READ, None)),
        # A level that nobody knows is none.
        ({"permissions": {"issues": "read", **WRITE}}, {}, None, {"issues": "odd", **READ}, Scope(READ, None)),
        # metadata: read comes with every token.
        ({"permissions": READ}, {"permissions": dict(CLONE_PERMISSIONS)}, None, ALL, Scope(CLONE_PERMISSIONS, None)),
        ({}, {"repositories": ["acme/Web", "Acme/api"]}, None, ALL, Scope(None, ("Acme/api", "acme/Web"))),
        ({}, {"repositories": ["acme/api", "ACME/API"]}, None, ALL, Scope(None, ("acme/api",))),
        ({"repositories": ["acme/api", "acme/web"]}, {}, None, ALL, Scope(None, ("acme/api", "acme/web"))),
        ({"repositories": ["acme/a", "acme/w"]}, {"repositories": ["acme/A"]}, None, ALL, Scope(None, ("acme/A",))),
        ({"repositories": ["acme/api", "acme/x"]}, {}, bound(repositories=["ACME/x"]), ALL, Scope(None, ("acme/x",))),
        ({"repositories": ["acme/api"]}, {}, bound(repositories=["acme/*"]), ALL, Scope(None, ("acme/api",))),
        ({}, {}, bound(repositories=["ACME/*", "acme/api"]), ALL, Scope(None, None)),
        ({}, {}, bound(repositories=["acme/b", "acme/a", "other/*"]), ALL, Scope(None, ("acme/a", "acme/b"))),
    ],
)  # fmt: skip
def test_an_output_gets_its_wish_or_the_narrowest_ceiling(
    spec: dict[str, Any], wish: dict[str, Any], binding: Binding | None, granted: dict[str, str], result: Scope
) -> None:
    assert scope(spec, wish, binding, facts(granted)) == result


MANY = [f"acme/r{number}" for number in range(MOST_REPOSITORIES + 1)]


@pytest.mark.parametrize(
    ("spec", "wish", "binding", "granted", "reason", "named"),
    [
        ({"permissions": READ}, {"permissions": WRITE}, None, ALL, Reason.INVALID_SPEC, "spec.outputs[ci].permissions"),
        ({"permissions": READ}, {"permissions": {"issues": "read"}}, None, ALL, Reason.INVALID_SPEC, "issues: read"),
        ({}, {"permissions": {"metadata": "admin"}}, bound(permissions=READ), ALL, Reason.NOT_ALLOWED, "metadata: a"),
        ({}, {"permissions": WRITE}, bound(permissions=READ), ALL, Reason.NOT_ALLOWED, "contents: write"),
        ({"permissions": WRITE}, {"permissions": WRITE}, None, READ, Reason.PERMISSION_MISSING, "contents: write"),
        ({}, {"permissions": {"checks": "read"}}, None, ALL, Reason.PERMISSION_MISSING, "checks: read"),
        # An empty set is never asked for: GitHub could take it for everything.
        ({}, {"permissions": {}}, None, ALL, Reason.INVALID_SPEC, "spec.outputs[ci].permissions"),
        ({"permissions": {}}, {}, None, ALL, Reason.INVALID_SPEC, "spec.permissions"),
        ({"permissions": {}}, {"permissions": {"metadata": "read"}}, None, ALL, Reason.INVALID_SPEC, "metadata: read"),
        ({"permissions": READ}, {}, bound(permissions={"issues": "read"}), ALL, Reason.NOT_ALLOWED, "in common"),
        ({}, {}, bound(permissions={}), ALL, Reason.NOT_ALLOWED, "in common"),
        ({"permissions": READ}, {}, None, {"issues": "read"}, Reason.PERMISSION_MISSING, "contents"),
        ({}, {"repositories": ["other/api"]}, None, ALL, Reason.REPOSITORY_NOT_COVERED, "other/api"),
        ({"repositories": ["other/api"]}, {}, None, ALL, Reason.REPOSITORY_NOT_COVERED, "spec.repositories"),
        ({}, {"repositories": ["acme-labs/api"]}, None, ALL, Reason.REPOSITORY_NOT_COVERED, "acme-labs/api"),
        ({"repositories": ["acme/api"]}, {"repositories": ["acme/web"]}, None, ALL, Reason.INVALID_SPEC,
         "spec.outputs[ci].repositories"),
        ({}, {"repositories": ["acme/web"]}, bound(repositories=["acme/api"]), ALL, Reason.NOT_ALLOWED, "acme/web"),
        ({"repositories": ["acme/web"]}, {}, bound(repositories=["acme/api"]), ALL, Reason.NOT_ALLOWED, "acme/web"),
        ({}, {}, bound(repositories=["other/*"]), ALL, Reason.NOT_ALLOWED, "Acme"),
        ({}, {}, bound(repositories=MANY), ALL, Reason.SCOPE_REFUSED, "501"),
    ],
)  # fmt: skip
def test_a_wish_above_a_ceiling_is_refused_by_whose_ceiling_it_is(
    spec: dict[str, Any],
    wish: dict[str, Any],
    binding: Binding | None,
    granted: dict[str, str],
    reason: Reason,
    named: str,
) -> None:
    found = refusal(spec, wish, binding, facts(granted))
    assert found.reason is reason
    assert named in found.message


def test_a_message_names_few_of_many() -> None:
    found = refusal({}, {"repositories": [f"other/r{number}" for number in range(100)]})
    assert "and 95 more" in found.message
    assert len(found.message) < 400


# --- outputs: the algebra ---

LEVELS = st.dictionaries(st.sampled_from(["contents", "issues", "actions"]), st.sampled_from(list(RANK)), min_size=1)
NAMES = st.lists(st.sampled_from(["acme/a", "Acme/B", "ACME/c", "acme/d"]), min_size=1, unique=True)
LENT = st.lists(st.sampled_from(["acme/A", "acme/b", "acme/c", "acme/*", "other/*"]), min_size=1, unique=True)


def under(result: Mapping[str, str] | None, ceiling: Mapping[str, str] | None) -> bool:
    if ceiling is None or result is None:
        return ceiling is None
    return all(RANK[level] <= RANK.get(ceiling.get(name, ""), 0) for name, level in result.items())


def within(result: tuple[str, ...] | None, ceiling: list[str] | None) -> bool:
    if ceiling is None or "acme/*" in ceiling:
        return True
    return result is not None and {name.lower() for name in result} <= {name.lower() for name in ceiling}


def attempt(
    own: Any, lent: Any, wish: Any, names: Any, lent_names: Any, wished: Any, granted: Mapping[str, str]
) -> Scope | None:
    spec = {"permissions": own, "repositories": names}
    asked = {"permissions": wish, "repositories": wished}
    try:
        return scope(
            {k: v for k, v in spec.items() if v is not None},
            {k: v for k, v in asked.items() if v is not None},
            bound(permissions=lent, repositories=lent_names),
            facts(granted),
        )
    except Stalled:
        return None


@given(
    own=st.none() | LEVELS,
    lent=st.none() | LEVELS,
    wish=st.none() | LEVELS,
    names=st.none() | NAMES,
    lent_names=st.none() | LENT,
    wished=st.none() | NAMES,
    granted=LEVELS,
)
def test_no_token_is_wider_than_any_ceiling_nor_asked_for_with_nothing(
    own: Any, lent: Any, wish: Any, names: Any, lent_names: Any, wished: Any, granted: dict[str, str]
) -> None:
    found = attempt(own, lent, wish, names, lent_names, wished, granted)
    assume(found is not None)
    assert found is not None
    for ceiling in (own, lent, wish):
        assert under(found.permissions, ceiling)
    assert found.permissions is None or under(found.permissions, granted)
    assert found.permissions is None or found.permissions
    for listed in (names, lent_names, wished):
        assert within(found.repositories, listed)
    assert found.repositories is None or found.repositories
    # A wish that is granted is granted as it is.
    assert wish is None or found.permissions == wish
    assert wished is None or {*(found.repositories or ())} == {*wished}


@given(own=LEVELS, tighter=LEVELS, lent=st.none() | LEVELS, names=NAMES, fewer=NAMES, lent_names=st.none() | LENT)
def test_a_tighter_ceiling_never_gives_more(
    own: dict[str, str], tighter: dict[str, str], lent: Any, names: list[str], fewer: list[str], lent_names: Any
) -> None:
    # Made so, since a filter would throw nearly all of them away.
    tighter = {name: level for name, level in tighter.items() if under({name: level}, own)} or own
    fewer = [name for name in names if name in fewer] or names
    wide = attempt(own, lent, None, names, lent_names, None, ALL)
    tight = attempt(tighter, lent, None, fewer, lent_names, None, ALL)
    assume(tight is not None)
    # What is left of the narrow one is in the wide one: so there is a wide one.
    assert wide is not None
    assert tight is not None
    assert under(tight.permissions, wide.permissions)
    assert within(tight.repositories, list(wide.repositories or ()))


# --- clones ---


def granting(repositories: list[str], namespaces: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"namespaces": {"names": namespaces or ["team-b"]}, "repositories": repositories, **more}


@pytest.mark.parametrize(
    ("spec", "consumer", "binding", "full_name", "given"),
    [
        ({}, "team-a", None, "acme/api", True),
        ({"repositories": ["Acme/API"]}, "team-a", None, "acme/api", True),
        ({"repositories": ["acme/api"]}, "team-a", None, "acme/web", False),
        ({}, "team-a", bound(repositories=["acme/api"]), "acme/web", False),
        ({}, "team-b", None, "acme/api", False),
        ({"grants": [granting(["ACME/api"])]}, "team-b", None, "acme/API", True),
        ({"grants": [granting(["Acme/*"])]}, "team-b", None, "acme/api", True),
        ({"grants": [granting(["acme/*"])]}, "team-b", None, "acme-labs/api", False),
        ({"grants": [granting(["acme/api"])]}, "team-b", None, "acme/api2", False),
        ({"grants": [granting(["acme/api"], ["team-c"])]}, "team-b", None, "acme/api", False),
        # A grant is below the ceilings.
        ({"repositories": ["acme/web"], "grants": [granting(["acme/*"])]}, "team-b", None, "acme/api", False),
        ({"grants": [granting(["acme/*"])]}, "team-b", bound(repositories=["acme/web"]), "acme/api", False),
        ({"grants": [granting(["acme/api"], permissions={"issues": "read"})]}, "team-b", None, "acme/api", False),
        ({"grants": [granting(["acme/api"], permissions=WRITE)]}, "team-b", None, "acme/api", True),
        ({"grants": [granting(["acme/api"], permissions={})]}, "team-b", None, "acme/api", False),
        # Two halves make no grant.
        ({"grants": [granting(["acme/web"]), granting(["acme/api"], ["team-c"])]}, "team-b", None, "acme/api", False),
        ({"grants": [granting(["acme/api"], permissions={"issues": "read"}), granting(["acme/web"])]},
         "team-b", None, "acme/api", False),
    ],
)  # fmt: skip
def test_a_repository_is_for_whom_it_is_granted_to(
    spec: dict[str, Any], consumer: str, binding: Binding | None, full_name: str, given: bool
) -> None:
    found = grants_repository(installation(**spec), consumer=consumer, labels={}, full_name=full_name, binding=binding)
    assert found is given


def test_a_grant_by_labels_is_for_who_carries_them() -> None:
    chosen = {"namespaces": {"selector": {"matchLabels": {"team": "b"}}}, "repositories": ["acme/*"]}
    subject = installation(grants=[chosen])
    for labels, may in (({"team": "b"}, True), ({}, False), (None, False)):
        assert may_refer(subject, "team-b", labels) is may
        assert grants_repository(subject, consumer="team-b", labels=labels, full_name="acme/api", binding=None) is may


def test_one_s_own_namespace_may_refer_and_others_need_a_grant() -> None:
    assert may_refer(installation(), "team-a", None)
    assert not may_refer(installation(), "team-b", {})


def clone(
    spec: dict[str, Any],
    consumer: str = "team-a",
    *,
    full_name: str = "acme/api",
    binding: Binding | None = None,
    found: InstallationFacts | None = None,
) -> Scope | Stalled:
    try:
        return clone_scope(
            installation(**spec),
            found or facts(),
            consumer=consumer,
            labels={},
            full_name=full_name,
            binding=binding,
        )
    except Stalled as trouble:
        return trouble


def test_a_clone_credential_reads_one_repository_s_contents() -> None:
    wanted = Scope({"contents": "read", "metadata": "read"}, ("acme/Api",))
    assert clone({}, full_name="acme/Api") == wanted
    assert clone({"permissions": READ}, full_name="acme/Api", binding=bound(permissions=READ)) == wanted
    assert clone({"grants": [granting(["acme/*"])]}, "team-b", full_name="acme/Api") == wanted


TROUBLES: list[tuple[dict[str, Any], Binding | None, InstallationFacts | None, Reason]] = [
    ({"permissions": {"issues": "read"}}, None, None, Reason.INVALID_SPEC),
    ({}, bound(permissions={"issues": "read"}), None, Reason.NOT_ALLOWED),
    ({}, None, facts({"issues": "read"}), Reason.PERMISSION_MISSING),
    ({"repositories": ["acme/web"]}, None, None, Reason.REPOSITORY_NOT_COVERED),
    ({}, bound(repositories=["acme/web"]), None, Reason.REPOSITORY_NOT_COVERED),
    ({}, None, facts(login="other"), Reason.REPOSITORY_NOT_COVERED),
]


@pytest.mark.parametrize(("spec", "binding", "found", "reason"), TROUBLES)
def test_one_s_own_namespace_hears_what_is_in_the_way(
    spec: dict[str, Any], binding: Binding | None, found: InstallationFacts | None, reason: Reason
) -> None:
    told = clone(spec, binding=binding, found=found)
    assert isinstance(told, Stalled)
    assert told.reason is reason


def test_another_namespace_cannot_tell_missing_from_forbidden() -> None:
    cases: list[tuple[dict[str, Any], Binding | None, InstallationFacts | None]] = [
        ({**spec, "grants": [granting(["acme/*"])]}, binding, found) for spec, binding, found, _ in TROUBLES
    ]
    told = [clone(spec, "team-b", binding=binding, found=found) for spec, binding, found in cases]
    ungranted = clone({"grants": [granting(["acme/web"])]}, "team-b")
    assert all(isinstance(found, Stalled) for found in (*told, ungranted))
    # What lacks permission is the owner's affair; what lacks a repository reads alike, whoever keeps it back.
    words = [(found.reason, found.message) for found in (*told, ungranted) if isinstance(found, Stalled)]
    assert {reason for reason, _ in words[:3]} == {Reason.INSTALLATION_NOT_READY}
    assert {reason for reason, _ in words[3:]} == {Reason.REPOSITORY_NOT_COVERED}
    assert len(set(words)) == 2


@pytest.mark.parametrize(("spec", "binding", "found"), [case[:3] for case in TROUBLES])
def test_without_a_grant_whatever_is_there_reads_like_nothing(
    spec: dict[str, Any], binding: Binding | None, found: InstallationFacts | None
) -> None:
    told, plain = clone(spec, "team-b", binding=binding, found=found), clone({}, "team-b")
    assert isinstance(told, Stalled)
    assert isinstance(plain, Stalled)
    assert (told.reason, told.message) == (plain.reason, plain.message)
    assert told.reason is Reason.INSTALLATION_NOT_FOUND


# --- which wishes are the same ---

KEY: dict[str, Any] = {
    "api_url": "https://api.github.com",
    "source": "uid/1/hash",
    "installation_id": 2**53 + 1,
    "repository_ids": [2, 1],
    "permissions": {"contents": "read", "metadata": "read"},
    "namespace": "team-a",
}
OTHERS: dict[str, list[Any]] = {
    "api_url": ["https://ghes.example.com/api/v3"],
    "source": ["uid/2/hash"],
    "installation_id": [2**53],
    "repository_ids": [None, [1], [1, 2, 3]],
    "permissions": [None, {"contents": "read"}, {"contents": "write", "metadata": "read"}],
    "namespace": ["team-b"],
}


def test_a_token_is_shared_by_those_who_are_alike_in_everything() -> None:
    same = {**KEY, "repository_ids": (1, 2, 2), "permissions": dict(reversed(KEY["permissions"].items()))}
    assert token_key(**same) == token_key(**KEY)
    different = [token_key(**{**KEY, name: value}) for name, values in OTHERS.items() for value in values]
    assert len({token_key(**KEY), *different}) == 1 + len(different)


REQUEST: dict[str, Any] = {
    "api_url": "https://api.github.com",
    "app_id": 1,
    "installation_id": 5,
    "account_id": 7,
    "permissions": {"contents": "read", "metadata": "read"},
    "repositories": ["acme/api", "acme/Web"],
}
OTHER_REQUESTS: dict[str, list[Any]] = {
    "api_url": ["https://ghes.example.com/api/v3"],
    "app_id": [5],
    "installation_id": [1],
    "account_id": [8],
    "permissions": [None, {}, {"contents": "read"}, {"contents": "write", "metadata": "read"}],
    "repositories": [None, [], ["acme/api"], ["acme/apiacme/web"]],
}


def test_a_request_s_digest_is_short_and_tells_every_other_request() -> None:
    digest = request_digest(**REQUEST)
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert request_digest(**{**REQUEST, "repositories": ["ACME/web", "Acme/API", "acme/web"]}) == digest
    assert request_digest(**{**REQUEST, "permissions": dict(reversed(REQUEST["permissions"].items()))}) == digest
    others = [request_digest(**{**REQUEST, name: value}) for name, values in OTHER_REQUESTS.items() for value in values]
    assert len({digest, *others}) == 1 + len(others)


def test_a_request_s_digest_stays_over_releases() -> None:
    # Another one would make every installation ask for all its tokens anew after an upgrade.
    assert request_digest(**REQUEST) == "0378c2884ae15631"


def test_lists_in_a_request_cannot_run_into_each_other() -> None:
    pairs = itertools.product([None, {}, {"a": "read"}], [None, [], ["a=read"], ["*"], ["0"]])
    digests = [request_digest(**{**REQUEST, "permissions": p, "repositories": r}) for p, r in pairs]
    assert len(set(digests)) == 15
