"""With which version of the template a Deployment is rendered: an upgrade rolls nothing, a rollout takes the newest."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mooring.domain import names, rendering
from mooring.domain.manifests import DeploymentInputs, checkout, deployment, versions
from mooring.domain.plans import Action, plan_children
from mooring.domain.projects import Ingredients, SourceFacts, manifests
from mooring.domain.resources import Project
from mooring.domain.resources.project_status import RevisionStatus, Trigger
from tests.unit.objects import OTHER_PAT, PAT, SHA, project

REVISION = RevisionStatus(trigger=Trigger.CREATE)
ROLLED = RevisionStatus(trigger=Trigger.TOKEN)
VERSION = names.TEMPLATE_VERSION_ANNOTATION
UID = "uid-shop"
OTHER_SHA = "b" * 40


def second(found: Project, inputs: DeploymentInputs) -> dict[str, Any]:
    """Render pods that differ from those of the first version."""
    manifest = deployment(found, inputs)
    manifest["spec"]["template"]["spec"]["dnsPolicy"] = "Default"
    return manifest


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this a Mooring that knows a second version."""
    monkeypatch.setitem(versions.RENDERERS, 2, second)


def made_of(
    spec: Mapping[str, Any] | None = None, *, token: str = PAT, generation: int = 1, **more: str
) -> Ingredients:
    annotations = {names.RESTART_ANNOTATION: more["restart"]} if "restart" in more else {}
    return Ingredients(
        project=project(spec=spec, annotations=annotations),
        generation=generation,
        token=token,
        source=None,
        token_fetches=False,
        service_account=None,
    )


def live(version: int, **annotations: str | None) -> dict[str, Any]:
    """Return the Deployment as it was rendered with a version; annotations are edited, None takes one off."""
    found = copy.deepcopy(manifests(made_of(), REVISION, version=version)["Deployment"])
    noted = {
        **found["metadata"]["annotations"],
        **{f"mooring.dev/{k.replace('_', '-')}": v for k, v in annotations.items()},
    }
    found["metadata"]["annotations"] = {name: value for name, value in noted.items() if value is not None}
    return found


def version_of(found: Mapping[str, Any]) -> str:
    """Return the version that a Deployment has: the first one says none."""
    return str((found["metadata"].get("annotations") or {}).get(VERSION, "1"))


def pods(found: Mapping[str, Any]) -> Any:
    return found["spec"]["template"]


def wanted(
    found: Mapping[str, Any] | None, ingredients: Ingredients, revision: RevisionStatus = REVISION
) -> dict[str, Any]:
    return rendering.wanted(ingredients, revision, found)["Deployment"]


def test_what_is_new_names_its_version_and_what_has_the_first_names_none() -> None:
    assert wanted(None, made_of())["metadata"]["annotations"][VERSION] == str(versions.newest()) == "2"
    assert VERSION not in wanted(live(1), made_of())["metadata"]["annotations"]


def test_from_the_second_version_on_every_container_leaves_its_last_words() -> None:
    def policies(version: int) -> set[str | None]:
        spec = pods(live(version))["spec"]
        found = [*spec.get("initContainers", ()), *spec["containers"]]
        return {container.get("terminationMessagePolicy") for container in found}

    assert policies(1) == {None}
    assert policies(2) == {"FallbackToLogsOnError"}


@pytest.mark.parametrize(
    ("workload", "seconds"),
    [
        ({"ports": [{"containerPort": 8080}]}, 5),
        ({"ports": [{"containerPort": 8080}], "terminationGracePeriodSeconds": 4}, 2),
        ({"ports": [{"containerPort": 8080}], "terminationGracePeriodSeconds": 1}, None),
        ({"terminationGracePeriodSeconds": 60}, None),
    ],
)
def test_who_listens_ends_when_nobody_is_sent_to_it_any_more(workload: dict[str, Any], seconds: int | None) -> None:
    found = wanted(None, made_of({"workload": {"image": "nginx", **workload}}))
    lifecycle = pods(found)["spec"]["containers"][0].get("lifecycle")
    assert lifecycle == (None if seconds is None else {"preStop": {"sleep": {"seconds": seconds}}})


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize(
    "ingredients", [made_of(), made_of({"suspend": True}, generation=2)], ids=["same", "suspended"]
)
def test_an_upgrade_keeps_the_pods_and_a_change_that_leaves_them_alone_does_too(ingredients: Ingredients) -> None:
    wish = wanted(live(1), ingredients)
    assert pods(wish) == pods(live(1))
    assert version_of(wish) == "1"


@pytest.mark.usefixtures("upgraded")
def test_an_upgrade_writes_nothing() -> None:
    found = live(1)
    assert plan_children({"Deployment": wanted(found, made_of())}, {"Deployment": found}, uid=UID).steps == ()


@pytest.mark.usefixtures("upgraded")
def test_drift_is_repaired_with_the_version_that_the_deployment_has() -> None:
    found = live(1)
    found["spec"]["template"]["spec"]["containers"][0]["image"] = "somebody/else:1"
    found["spec"]["template"]["metadata"]["annotations"][names.TOKEN_CHECKSUM_ANNOTATION] = "edited"
    wish = wanted(found, made_of())
    (step,) = plan_children({"Deployment": wish}, {"Deployment": found}, uid=UID).steps
    assert step.action is Action.REPAIR
    assert pods(wish) == pods(live(1))


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize(
    ("ingredients", "revision"),
    [
        (made_of({"workload": {"image": "registry.example.com/shop:2"}}, generation=2), REVISION),
        (made_of(token=OTHER_PAT), ROLLED),
        (made_of(restart="now"), RevisionStatus(trigger=Trigger.MANUAL)),
        # A revision that was announced before the upgrade, and is carried out after it.
        (made_of(), RevisionStatus(trigger=Trigger.SPEC)),
    ],
    ids=["spec", "token", "restart", "revision"],
)
def test_pods_that_are_made_anew_anyway_take_the_newest_version(
    ingredients: Ingredients, revision: RevisionStatus
) -> None:
    wish = wanted(live(1), ingredients, revision)
    assert version_of(wish) == "2"
    assert pods(wish)["spec"]["dnsPolicy"] == "Default"


@pytest.mark.usefixtures("upgraded")
def test_what_is_new_has_the_newest_version_and_keeps_it() -> None:
    assert version_of(wanted(None, made_of())) == "2"
    assert version_of(rendering.as_it_is(made_of(), REVISION, None).children["Deployment"]) == "2"
    assert version_of(wanted(live(2), made_of())) == "2"


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("edited", [None, "", "99", "two", "01"])
def test_a_version_that_somebody_took_off_or_edited_is_put_back_and_rolls_nothing(
    version: int, edited: str | None
) -> None:
    wish = wanted(live(version, template_version=edited), made_of())
    assert version_of(wish) == str(version)
    assert pods(wish) == pods(live(version))


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize("version", [1, 2])
def test_where_every_mark_was_taken_off_the_pods_tell_it(version: int) -> None:
    found = live(version)
    del found["metadata"]["annotations"]
    wish = wanted(found, made_of())
    assert version_of(wish) == str(version)
    assert pods(wish) == pods(live(version))


def test_what_is_compared_is_drawn_with_the_version_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions.RENDERERS, 2, second)
    drawn = rendering.as_it_is(made_of(), REVISION, live(1)).children["Deployment"]
    assert drawn["metadata"]["annotations"] == live(1)["metadata"]["annotations"]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("revision", [REVISION, ROLLED], ids=["the same", "another"])
def test_what_was_drawn_counts_for_its_own_revision_alone(version: int, revision: RevisionStatus) -> None:
    ingredients, found = made_of(), live(version)
    drawn = rendering.as_it_is(ingredients, REVISION, found)
    assert rendering.wanted(ingredients, revision, found, drawn) == rendering.wanted(ingredients, revision, found)


def of_a_newer_release(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    with monkeypatch.context() as newer:
        newer.setitem(versions.RENDERERS, 3, second)
        return live(3)


def test_what_a_newer_release_rendered_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_a_newer_release(monkeypatch)
    wish = rendering.wanted(made_of(), REVISION, found)
    assert wish["Deployment"] == found
    assert plan_children({"Deployment": wish["Deployment"]}, {"Deployment": found}, uid=UID).steps == ()
    assert "Secret" in wish


@pytest.mark.parametrize(
    ("ingredients", "revision"),
    [(made_of({"suspend": True}, generation=2), REVISION), (made_of(token=OTHER_PAT), ROLLED)],
    ids=["spec", "token"],
)
def test_what_a_newer_release_rendered_is_rendered_anew_when_there_is_a_reason(
    ingredients: Ingredients, revision: RevisionStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = wanted(of_a_newer_release(monkeypatch), ingredients, revision)
    assert version_of(wish) == "2"


# --- names of a repository ---

AT = RevisionStatus(sha=SHA, trigger=Trigger.CREATE, checkout_image="img:1")


def follows(name: str, said: str = "acme/shop", *, generation: int = 1, **more: Any) -> Ingredients:
    """Return a Project that says one name of its repository, which has another one now."""
    spec = {"source": {"github": {"repository": said}}, **more.pop("spec", {})}
    url = f"{more.pop('web', 'https://github.com')}/{name}.git"
    facts = SourceFacts("GitHub", name, url, "main", SHA, SHA, repository_id=7)
    return replace(made_of(spec, generation=generation, **more), source=facts)


def url_of(found: Mapping[str, Any]) -> str | None:
    return checkout.url_of(pods(found)["spec"])


FOUND = manifests(follows("acme/shop"), AT)["Deployment"]


def wish_for(ingredients: Ingredients, revision: RevisionStatus = AT, found: Any = FOUND) -> dict[str, Any]:
    return rendering.wanted(ingredients, revision, found)["Deployment"]


def test_a_rename_writes_nothing() -> None:
    renamed = follows("acme/store")
    assert wish_for(renamed) == FOUND
    assert rendering.as_it_is(renamed, AT, FOUND).children["Deployment"] == FOUND
    assert plan_children({"Deployment": wish_for(renamed)}, {"Deployment": FOUND}, uid=UID).steps == ()


@pytest.mark.parametrize(
    ("ingredients", "revision"),
    [
        (follows("acme/store"), AT.model_copy(update={"sha": OTHER_SHA})),
        (follows("acme/store", token=OTHER_PAT), AT.model_copy(update={"trigger": Trigger.TOKEN})),
        (follows("acme/store", restart="now"), AT.model_copy(update={"trigger": Trigger.MANUAL})),
        (follows("acme/store", generation=2, spec={"workload": {"image": "x:2"}}), AT),
        # A person wrote the present name, or another repository, of which this commit is one, too.
        (follows("acme/store", "acme/store", generation=2), AT),
    ],
    ids=["push", "token", "restart", "spec", "name"],
)
def test_pods_that_are_made_anew_anyway_take_the_present_name(
    ingredients: Ingredients, revision: RevisionStatus
) -> None:
    wish = wish_for(ingredients, revision)
    assert url_of(wish) == "https://github.com/acme/store.git"


def test_what_leaves_pods_alone_leaves_the_name_alone() -> None:
    wish = wish_for(follows("acme/store", generation=2, spec={"suspend": True}))
    assert pods(wish) == pods(FOUND)


def test_a_second_rename_after_a_rollout_rolls_nothing_either() -> None:
    found = wish_for(follows("acme/store"), AT.model_copy(update={"sha": OTHER_SHA}))
    again = follows("acme/boutique")
    assert rendering.wanted(again, AT.model_copy(update={"sha": OTHER_SHA}), found)["Deployment"] == found


def test_a_name_at_another_host_is_another_repository() -> None:
    wish = wish_for(follows("acme/shop", web="https://github.example.com"))
    assert url_of(wish) == "https://github.example.com/acme/shop.git"


def test_what_runs_from_another_place_is_told_from_another_name() -> None:
    here, renamed = follows("acme/shop").source, follows("acme/store").source
    there = follows("acme/shop", web="https://github.example.com").source
    assert here is not None
    assert renamed is not None
    assert there is not None
    assert rendering.is_elsewhere(there, FOUND)
    assert not rendering.is_elsewhere(here, FOUND)
    assert not rendering.is_elsewhere(renamed, FOUND)
    # Of a plain URL the whole is compared, and where nothing runs there is no other place.
    assert not rendering.is_elsewhere(replace(there, repository_id=None), FOUND)
    assert not rendering.is_elsewhere(there, None)


@pytest.mark.parametrize("name", ["acme/shop", "acme/store"])
def test_a_url_that_somebody_edited_is_no_former_name(name: str) -> None:
    found = copy.deepcopy(FOUND)
    arguments = pods(found)["spec"]["initContainers"][0]["args"]
    arguments[arguments.index("--url=https://github.com/acme/shop.git")] = "--url=https://github.com/acme/evil.git"
    assert url_of(wish_for(follows(name), found=found)) == f"https://github.com/{name}.git"
    # Nor does it hide that the Deployment was applied for this very wish.
    drawn = rendering.as_it_is(follows("acme/shop"), AT, found).children["Deployment"]
    assert drawn["metadata"]["annotations"] == FOUND["metadata"]["annotations"]
