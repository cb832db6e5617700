"""Which children cost a question: of a new Project none that no watch has shown, and whatever else could be there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.names import Kind
from mooring.domain.plans import plan_children
from mooring.domain.reasons import Reason
from mooring.domain.resources import Project
from mooring.ports import AlreadyExists, Changed
from mooring.services.children import NEW_FOR, Children, ChildTrouble
from mooring.services.platform import Platform
from tests.unit.objects import NOW, project, raw_project
from tests.unit.services.platforms import platform

NAMES: dict[Kind, str] = {"Secret": "shop-default-token", "Deployment": "shop-default"}
DEPLOYMENT = ("Deployment", "team-a", "shop-default")
JUST_NOW = (NOW - timedelta(seconds=3)).isoformat()


class Asked:
    """Writes down what is asked for: nothing is there, and every name is taken. It stands for no API server."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    async def read(self, kind: str, _namespace: str, _name: str) -> None:
        self.reads.append(kind)

    async def create(self, _manifest: Mapping[str, Any]) -> None:
        raise AlreadyExists("somebody was first")


def world() -> tuple[Children, Platform, Asked]:
    asked = Asked()
    around = platform(cluster=asked)
    return Children(around), around, asked


def new_project() -> Project:
    return project(creationTimestamp=JUST_NOW)


async def test_of_a_new_project_nothing_is_read() -> None:
    children, _, asked = world()
    assert await children.read(new_project(), NAMES) == {"Secret": None, "Deployment": None}
    assert asked.reads == []


def rolled_out() -> Project:
    status = {"revision": {"generation": 1, "trigger": "Create", "deployedAt": JUST_NOW}}
    return Project.model_validate({**raw_project(creationTimestamp=JUST_NOW), "status": status})


@pytest.mark.parametrize(
    "known",
    [rolled_out(), project(creationTimestamp=(NOW - NEW_FOR).isoformat())],
    ids=["was rolled out", "may have lost its status"],
)
async def test_of_one_that_may_have_children_all_are_read(known: Project) -> None:
    children, _, asked = world()
    await children.read(known, NAMES)
    assert sorted(asked.reads) == ["Deployment", "Secret"]


@pytest.mark.parametrize("how", ["seen_children", "own_writes"])
async def test_what_is_known_to_be_there_is_read(how: str) -> None:
    children, around, asked = world()
    if how == "seen_children":
        around.seen_children.add(DEPLOYMENT)
    else:
        around.own_writes[DEPLOYMENT] = "7"
    await children.read(new_project(), NAMES)
    assert asked.reads == ["Deployment"]


async def test_what_is_in_the_way_is_looked_at_by_the_next_run_and_then_told() -> None:
    children, _, asked = world()
    manifest = {"kind": "Deployment", "metadata": {"namespace": "team-a", "name": "shop-default"}}
    plan = plan_children({"Deployment": manifest}, {"Deployment": None}, uid="uid-shop")
    with pytest.raises(Changed):
        await children.carry_out(new_project(), plan, {})
    await children.read(new_project(), NAMES)
    assert asked.reads == ["Deployment"]
    with pytest.raises(ChildTrouble) as found:
        await children.carry_out(new_project(), plan, {})
    assert found.value.trouble.reason is Reason.CONFLICT
