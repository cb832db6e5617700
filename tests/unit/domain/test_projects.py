"""A Project's rules: what its children are made of, and what its status says of what came of it."""

from __future__ import annotations

import base64
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import names
from mooring.domain.conditions import Wanted, merge
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.events import WORDS, transitions
from mooring.domain.projects import (
    Ingredients,
    Outcome,
    SourceFacts,
    conditions,
    manifests,
    status_fields,
    template_mark,
    token_of,
)
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources import Project
from mooring.domain.resources.project_status import ProjectStatus, RevisionStatus, Trigger
from mooring.domain.revisions import running
from mooring.domain.rollouts import Rollout, RolloutState
from mooring.domain.status import changed_fields, without_nothing
from mooring.domain.tokens import Resolution
from tests.unit.objects import NOW, OTHER_PAT, PAT, SHA, project

SOURCE = SourceFacts(
    "GitHub", "acme/shop", "https://github.com/acme/shop.git", "main", SHA, SHA, 7, "R_7", private=True
)
GITHUB = {"source": {"github": {"repository": "acme/shop"}}}
REVISION = RevisionStatus(sha=SHA, short_sha=SHA[:7], trigger=Trigger.CREATE, checkout_image="registry.example.com/m:1")
RESOLVED = Resolution("global", Reason.GLOBAL_TOKEN, "From the user.", token=PAT, kind="classic", origin="Secret a")
NONE = Resolution("none", Reason.NO_TOKEN, "There is none.")
GONE = Stalled(Reason.SECRET_NOT_FOUND, "Secret a does not exist.")
AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
DONE = Rollout(RolloutState.COMPLETE, "1 of 1 pods are available.", 1, 1)
ROLLING = Rollout(RolloutState.PROGRESSING, "0 of 1 new pods are made.", 1, 0)
BROKEN = Rollout(RolloutState.FAILED, "The new pods did not become available in time.", 1, 0)


def failed(trouble: Trouble) -> Resolution:
    return Resolution("none", trouble.reason, trouble.message, trouble=trouble)


def ingredients(
    found: Project | None = None,
    *,
    token: str | None = PAT,
    source: SourceFacts | None = SOURCE,
    fetches: bool = True,
    generation: int = 1,
) -> Ingredients:
    return Ingredients(
        project=found or project(spec=GITHUB),
        generation=generation,
        token=token,
        source=source,
        token_fetches=fetches,
        service_account=None,
    )


# --- children ---


def test_the_workload_gets_the_token_and_the_checkout_gets_it_only_for_its_own_origin() -> None:
    secret = names.token_secret("shop")
    for fetches in (True, False):
        rendered = manifests(ingredients(fetches=fetches), REVISION)
        assert token_of(rendered["Secret"]) == PAT
        spec = rendered["Deployment"]["spec"]["template"]["spec"]
        (checkout,), (workload,) = spec["initContainers"], spec["containers"]
        assert (secret in repr(checkout) or secret in repr(spec.get("volumes"))) is fetches
        assert secret in repr(workload)


def test_without_a_token_there_is_neither_a_secret_nor_a_word_of_one() -> None:
    rendered = manifests(ingredients(token=None), REVISION)
    assert "Secret" not in rendered
    assert names.token_secret("shop") not in repr(rendered)
    assert names.TOKEN_CHECKSUM_ANNOTATION not in rendered["Deployment"]["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize("made_of", [ingredients(project(), source=None), ingredients(source=None)])
def test_without_a_source_there_is_no_checkout(made_of: Ingredients) -> None:
    rendered = manifests(made_of, RevisionStatus(trigger=Trigger.CREATE))
    assert not rendered["Deployment"]["spec"]["template"]["spec"].get("initContainers")


def test_the_token_is_in_its_secret_alone() -> None:
    rendered = manifests(ingredients(), REVISION)
    encoded = base64.b64encode(PAT.encode()).decode()
    rest = {kind: manifest for kind, manifest in rendered.items() if kind != "Secret"}
    assert PAT not in repr(rest)
    assert encoded not in repr(rest)
    assert PAT not in repr(ingredients().checksum)


def mark(made_of: Ingredients, revision: RevisionStatus = REVISION) -> str:
    deployment = manifests(made_of, revision)["Deployment"]
    written = deployment["metadata"]["annotations"][names.TEMPLATE_ANNOTATION]
    assert written == template_mark(deployment)
    return str(written)


def test_the_mark_of_a_template_follows_the_spec_and_neither_token_nor_trigger() -> None:
    plain = mark(ingredients())
    delivered = REVISION.model_copy(update={"delivery": "72d3162e-cc78", "trigger": Trigger.PUSH})
    assert mark(ingredients(token=OTHER_PAT)) == plain
    assert mark(ingredients(generation=2)) == plain
    assert mark(ingredients(), delivered) == plain
    asked = project(spec=GITHUB, annotations={names.RESTART_ANNOTATION: "1"})
    assert mark(ingredients(asked)) == plain
    other = project(spec={**GITHUB, "workload": {"image": "registry.example.com/shop:2"}})
    assert mark(ingredients(other)) != plain


def test_what_was_rendered_is_read_back_from_the_deployment() -> None:
    asked = project(spec=GITHUB, annotations={names.RESTART_ANNOTATION: "now"})
    made_of = ingredients(asked, generation=4)
    read = running(manifests(made_of, REVISION)["Deployment"])
    assert (read.checksum, read.restart, read.generation) == (made_of.checksum, "now", "4")


@given(st.binary(max_size=300) | st.just(PAT.encode()))
def test_whatever_somebody_put_into_the_secret_is_read_as_a_token_or_as_none(value: bytes) -> None:
    secret = {"data": {names.EFFECTIVE_TOKEN_KEY: base64.b64encode(value).decode()}}
    assert token_of(secret) in {None, value.decode("latin-1").rstrip("\r\n")}


@pytest.mark.parametrize("secret", [None, {}, {"data": None}, {"data": {}}, {"data": {"token": "?"}}])
def test_no_secret_is_no_token(secret: dict[str, Any] | None) -> None:
    assert token_of(secret) is None


# --- status ---


def outcome(**changes: Any) -> Outcome:
    given: dict[str, Any] = {
        "project": project(spec=GITHUB),
        "resolution": RESOLVED,
        "source": SOURCE,
        "source_trouble": None,
        "trouble": None,
        "rollout": DONE,
        "has_token": True,
    }
    return Outcome(**{**given, **changes})


def by_type(found: list[Wanted]) -> dict[ConditionType, Wanted]:
    assert len({condition.type for condition in found}) == len(found)
    return {condition.type: condition for condition in found}


SUSPENDED = project(spec={**GITHUB, "suspend": True})


@pytest.mark.parametrize(
    ("found", "ready", "reason"),
    [
        (outcome(), True, Reason.READY),
        (outcome(rollout=None), False, Reason.PROGRESSING),
        (outcome(rollout=ROLLING), False, Reason.PROGRESSING),
        (outcome(rollout=DONE, starting="Rolling out."), False, Reason.PROGRESSING),
        (outcome(rollout=BROKEN), False, Reason.ROLLOUT_FAILED),
        (outcome(project=SUSPENDED), True, Reason.SUSPENDED),
        (outcome(project=SUSPENDED, rollout=ROLLING), True, Reason.SUSPENDED),
        (outcome(project=SUSPENDED, resolution=failed(GONE)), False, Reason.SECRET_NOT_FOUND),
        (outcome(resolution=failed(GONE)), False, Reason.SECRET_NOT_FOUND),
        (outcome(resolution=failed(AWAY)), False, Reason.GITHUB_UNAVAILABLE),
        (outcome(source=None, source_trouble=AWAY), False, Reason.GITHUB_UNAVAILABLE),
        # What a person must mend comes before what passes by itself.
        (outcome(source_trouble=AWAY, resolution=failed(GONE)), False, Reason.SECRET_NOT_FOUND),
        (outcome(trouble=AWAY, rollout=BROKEN), False, Reason.ROLLOUT_FAILED),
    ],
)
def test_ready_says_the_worst_first(found: Outcome, ready: bool, reason: Reason) -> None:
    told = by_type(conditions(found))
    assert (told[ConditionType.READY].status, told[ConditionType.READY].reason) == (ready, reason)


TROUBLES: list[Trouble | None] = [None, GONE, AWAY]
EVERY = [
    outcome(
        project=about, resolution=resolution, source_trouble=source, trouble=trouble, rollout=found, starting=starting
    )
    for about, resolution, source, trouble, found, starting in itertools.product(
        [project(spec=GITHUB), SUSPENDED],
        [RESOLVED, NONE, failed(GONE), failed(AWAY)],
        TROUBLES,
        TROUBLES,
        [None, DONE, ROLLING, BROKEN],
        [None, "Rolling out."],
    )
]


def test_ready_reconciling_and_stalled_agree_in_every_case() -> None:
    for found in EVERY:
        told = by_type(conditions(found))
        state = tuple(
            told[kind].status for kind in (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
        )
        assert state in {(True, False, False), (False, True, False), (False, False, True)}, found
        stalled = any(
            isinstance(trouble, Stalled) for trouble in (found.resolution.trouble, found.source_trouble, found.trouble)
        )
        assert (state[2] is True) == (stalled or found.rollout is BROKEN)


def test_every_event_of_a_project_is_one_that_the_reference_knows() -> None:
    told = set()
    for found in EVERY:
        happenings = transitions([], merge([], conditions(found), generation=1, now=NOW))
        told |= {happening.reason for happening in happenings}
    assert len(told) > 5
    assert told <= {word.value for word in WORDS}


def test_a_suspended_project_that_has_no_workload_yet_says_so() -> None:
    told = by_type(conditions(outcome(project=SUSPENDED, rollout=None)))
    assert told[ConditionType.DEPLOYED].status is False


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        (outcome(), True, Reason.RESOLVED),
        (outcome(source=None), True, Reason.IMAGE_ONLY),
        (outcome(source=None, source_trouble=AWAY), None, Reason.GITHUB_UNAVAILABLE),
        (outcome(source=None, source_trouble=GONE), False, Reason.SECRET_NOT_FOUND),
    ],
)
def test_the_source_condition(found: Outcome, status: bool | None, reason: Reason) -> None:
    told = by_type(conditions(found))[ConditionType.SOURCE_RESOLVED]
    assert (told.status, told.reason) == (status, reason)


def test_the_source_condition_says_what_is_pinned() -> None:
    def message(found: Outcome) -> str:
        return by_type(conditions(found))[ConditionType.SOURCE_RESOLVED].message

    followed = outcome()
    assert followed.source is not None
    assert "pinned" not in message(followed)
    pinned = outcome(source=replace(followed.source, pin="b" * 40))
    assert "pinned to bbbbbbb by spec.source.revision" in message(pinned)


def test_what_is_known_stays_while_it_cannot_be_judged_and_goes_when_it_is_gone() -> None:
    before = without_nothing(status_fields(outcome(), 1))
    away = outcome(resolution=failed(AWAY), source=None, source_trouble=AWAY)
    assert changed_fields(before, status_fields(away, 1)) == {}
    gone = outcome(project=project(), resolution=NONE, source=None, has_token=False)
    patch = changed_fields(before, status_fields(gone, 2))
    assert patch["source"] is None
    assert patch["token"] == {"source": "none", "kind": None, "from": None, "secretName": None}


def test_every_status_is_one_that_the_schema_knows_and_no_token_is_in_it() -> None:
    known = {field.alias or name for name, field in ProjectStatus.model_fields.items()}
    for found in EVERY:
        fields = status_fields(found, 1)
        assert set(fields) <= known
        ProjectStatus.model_validate(without_nothing(fields))
        assert PAT not in repr(fields)
        assert PAT not in repr(conditions(found))


@pytest.mark.parametrize(
    ("expose", "url"),
    [
        (None, None),
        ({}, None),
        ({"host": "shop.example.com"}, "http://shop.example.com"),
        ({"host": "shop.example.com", "tlsSecretName": "tls"}, "https://shop.example.com"),
    ],
)
def test_the_url(expose: dict[str, Any] | None, url: str | None) -> None:
    about = project(spec={**GITHUB, **({"expose": expose} if expose is not None else {})})
    assert status_fields(outcome(project=about), 1)["url"] == url


def test_the_end_of_a_token_is_told() -> None:
    expiring = Resolution("project", Reason.PROJECT_TOKEN, "m", token=PAT, kind="fine-grained", expires_at=NOW)
    assert status_fields(outcome(resolution=expiring), 1)["token"]["expiresAt"] == "2026-03-01T12:00:00Z"


def test_a_source_that_cannot_be_followed_yet_is_no_memory_to_go_by() -> None:
    """Else the next run would take the revision of the source before for one of this."""
    outcome = Outcome(project(spec=GITHUB), RESOLVED, SOURCE, None, GONE, DONE, has_token=True, held=True)
    assert not {"source", "pending"} & set(status_fields(outcome, 1))
    found = next(one for one in conditions(outcome) if one.type is ConditionType.SOURCE_RESOLVED)
    assert (found.status, found.reason) == (None, Reason.PROGRESSING)


@pytest.mark.parametrize(
    ("trouble", "ends"),
    [
        (Stalled(Reason.INSTALLATION_SUSPENDED, "m"), True),
        (Stalled(Reason.REPOSITORY_NOT_COVERED, "m"), True),
        (Stalled(Reason.REPOSITORY_NOT_FOUND, "m"), True),
        (Stalled(Reason.BRANCH_NOT_FOUND, "m"), False),
        (Stalled(Reason.REVISION_NOT_FOUND, "m"), False),
        (Transient(Reason.INSTALLATION_NOT_READY, "m"), False),
        (Waiting(Reason.RATE_LIMITED, "m", until=NOW), False),
    ],
)
def test_a_withdrawn_access_proves_nothing_any_more(trouble: Trouble, ends: bool) -> None:
    before = {"source": replace(SOURCE, proof="v1.x", pin_proof="v1.y", proven_at="2026-01-01T00:00:00Z").status()}
    followed = project(spec=GITHUB).model_copy(update={"status": ProjectStatus.model_validate(before)})
    found = outcome(project=followed, source=None, source_trouble=trouble)
    for held in (False, True):
        fields = status_fields(replace(found, held=held), 1)
        assert ("source" in fields) is ends
        wanted = {"source": {"proof": None, "pinProof": None}} if ends else {}
        assert changed_fields(before, {name: fields[name] for name in wanted}) == wanted
    # Where there is nothing to take back, nothing is written.
    for status in (None, ProjectStatus()):
        new = project(spec=GITHUB).model_copy(update={"status": status})
        assert "source" not in status_fields(outcome(project=new, source=None, source_trouble=trouble), 1)


def test_the_status_tells_what_was_read_for_which_push() -> None:
    source = replace(SOURCE, delivery="d1", redeploy="now", pin="c" * 40, proof="v1.x", deployed_sha="d" * 40)
    outcome = Outcome(
        project(spec=GITHUB), RESOLVED, source, None, None, DONE, has_token=True, pending={"sha": SHA, "delivery": "d0"}
    )
    fields = status_fields(outcome, 1)
    wanted = {"delivery": "d1", "redeploy": "now", "pinnedSha": "c" * 40, "proof": "v1.x", "decidedSha": SHA}
    assert {name: fields["source"][name] for name in wanted} == wanted
    assert fields["pending"] == {"sha": SHA, "delivery": "d0"}
    assert source.sha == "c" * 40
    assert replace(source, pin=None).sha == "d" * 40
    # What is none any more goes from the status.
    assert changed_fields({"source": fields["source"]}, {"source": SOURCE.status()})["source"]["pinnedSha"] is None
