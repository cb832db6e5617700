"""Plans: carried out once they come to rest, whatever was there, and what is not ours is never part of one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import names
from mooring.domain.names import Kind
from mooring.domain.plans import ORDER, Action, Plan, plan_children
from tests.unit.domain.manifests.cases import CASES, UID

WISHES: list[dict[Kind, dict[str, Any]]] = [
    {manifest["kind"]: manifest for manifest in CASES[name].manifests()} for name in sorted(CASES)
]
# One that asks for all four kinds, and one that asks for the least.
FULL = max(WISHES, key=len)
LEAST = min(WISHES, key=len)
World = dict[Kind, dict[str, Any] | None]


def carry_out(plan: Plan, world: World) -> World:
    """Do to a world of dicts what the steps say: a create needs a free place, the others an object."""
    after: World = dict(world)
    for step in plan.steps:
        if step.action is Action.CREATE:
            assert after.get(step.kind) is None
        else:
            assert step.live is world[step.kind]
        after[step.kind] = None if step.action is Action.DELETE else copy.deepcopy(dict(step.manifest))
    return after


def foreign(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same object, made by somebody else: labels and all, but not our uid."""
    found = copy.deepcopy(dict(manifest))
    found["metadata"]["ownerReferences"][0]["uid"] = "somebody-else"
    return found


def edited(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return our object after somebody changed it."""
    found = copy.deepcopy(dict(manifest))
    if found["kind"] == "Secret":
        found["data"][names.EFFECTIVE_TOKEN_KEY] = "Zm9yZ2Vk"
    elif found["kind"] == "Ingress":
        found["spec"]["rules"] = []
    else:
        found["spec"]["selector"] = {"app": "else"}
    return found


def stale(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return our object with the mark of another wish."""
    found = copy.deepcopy(dict(manifest))
    found["metadata"].setdefault("annotations", {})[names.APPLIED_ANNOTATION] = "0" * 16
    return found


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "as it is": copy.deepcopy,
    "foreign": foreign,
    "edited": edited,
    "stale": stale,
}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Some of the children of some wish, each in some state."""
    wish = draw(st.sampled_from(WISHES))
    kinds = draw(st.sets(st.sampled_from(sorted(wish))))
    return {kind: CHANGES[draw(st.sampled_from(sorted(CHANGES)))](wish[kind]) for kind in kinds}


@given(wish=st.sampled_from(WISHES), world=worlds(), held=st.sets(st.sampled_from(ORDER)))
def test_a_plan_that_was_carried_out_is_followed_by_none(
    wish: dict[Kind, dict[str, Any]], world: World, held: set[Kind]
) -> None:
    plan = plan_children(wish, world, uid=UID, held=frozenset(held))
    after = carry_out(plan, world)
    again = plan_children(wish, after, uid=UID, held=frozenset(held))
    assert again.steps == ()
    assert again.foreign == plan.foreign


@given(wish=st.sampled_from(WISHES), world=worlds(), held=st.sets(st.sampled_from(ORDER)))
def test_what_is_foreign_or_held_is_as_it_was(wish: dict[Kind, dict[str, Any]], world: World, held: set[Kind]) -> None:
    plan = plan_children(wish, world, uid=UID, held=frozenset(held))
    touched = {step.kind for step in plan.steps}
    not_ours = {
        kind for kind, found in world.items() if found and found["metadata"]["ownerReferences"][0]["uid"] != UID
    }
    assert not touched & (not_ours | held)
    # A foreign object is told of only where it is in the way.
    assert set(plan.foreign) == (not_ours & set(wish)) - held


def test_what_pods_need_comes_first_and_what_they_lose_goes_last_in_reverse() -> None:
    made = plan_children(FULL, {}, uid=UID)
    assert [(step.kind, step.action) for step in made.steps] == [(kind, Action.CREATE) for kind in ORDER]
    live: World = dict(FULL)
    gone = plan_children({}, live, uid=UID)
    assert [(step.kind, step.action) for step in gone.steps] == [(kind, Action.DELETE) for kind in reversed(ORDER)]
    without_token: dict[Kind, dict[str, Any]] = {kind: manifest for kind, manifest in FULL.items() if kind != "Secret"}
    changed: World = {**live, "Deployment": stale(FULL["Deployment"])}
    assert [(step.kind, step.action) for step in plan_children(without_token, changed, uid=UID).steps] == [
        ("Deployment", Action.APPLY),
        ("Secret", Action.DELETE),
    ]


def test_a_changed_wish_is_told_from_a_changed_object() -> None:
    world: World = {**FULL, "Deployment": stale(FULL["Deployment"]), "Service": edited(FULL["Service"])}
    steps = {step.kind: step for step in plan_children(FULL, world, uid=UID).steps}
    assert {kind: step.action for kind, step in steps.items()} == {
        "Deployment": Action.APPLY,
        "Service": Action.REPAIR,
    }
    keys = [f"spec.selector[{key}]" for key in FULL["Service"]["spec"]["selector"]]
    assert list(steps["Service"].paths) == [*keys, "spec.selector"]


def test_a_mark_that_somebody_put_on_a_secret_leads_to_nothing() -> None:
    world: World = {**FULL, "Secret": stale(FULL["Secret"])}
    assert plan_children(FULL, world, uid=UID).steps == ()


def test_a_changed_token_is_written_and_no_value_is_told() -> None:
    world: World = {**FULL, "Secret": edited(FULL["Secret"])}
    (step,) = plan_children(FULL, world, uid=UID).steps
    assert (step.kind, step.action, list(step.paths)) == ("Secret", Action.REPAIR, ["data.token"])
    token = FULL["Secret"]["data"][names.EFFECTIVE_TOKEN_KEY]
    assert token not in repr(step)
    assert "Zm9yZ2Vk" not in repr(step)


@pytest.mark.parametrize("wish", [FULL, LEAST], ids=["full", "least"])
def test_nothing_wanted_and_nothing_there_is_no_plan(wish: dict[Kind, dict[str, Any]]) -> None:
    assert plan_children({}, dict.fromkeys(wish), uid=UID) == Plan()
