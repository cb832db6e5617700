"""What is kept of children: good for one version, and never longer."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.services import recent
from mooring.services.recent import Recent

PLACE = ("Secret", "a", "s")


def secret(version: str, name: str = "s") -> dict[str, Any]:
    metadata = {"namespace": "a", "name": name, "resourceVersion": version}
    return {"kind": "Secret", "metadata": metadata, "data": {"token": "eA=="}}


def test_what_was_kept_comes_back_as_a_copy() -> None:
    kept = Recent()
    kept.keep(secret("7"))
    found = kept.get(PLACE)
    assert found == secret("7")
    found["data"]["token"] = "changed"
    assert kept.get(PLACE) == secret("7")


def deployment(name: str) -> dict[str, Any]:
    metadata = {"namespace": "a", "name": name, "resourceVersion": "7", "annotations": {name: f"{name} " * 50}}
    digits = [f"{number:x}" for number in range(1000)]
    return {"kind": "Deployment", "metadata": metadata, "spec": {"args": digits}}


def test_what_is_like_another_takes_little_room() -> None:
    kept = Recent()
    objects = [deployment(f"d{number}") for number in range(100)]
    kept.keep(objects[0])
    first = kept.weight()
    for each in objects[1:]:
        kept.keep(each)
    assert [kept.get(("Deployment", "a", each["metadata"]["name"])) for each in objects] == objects
    assert kept.weight() - first < 99 * 200


def test_no_secret_is_what_others_are_measured_by() -> None:
    """It would stay in memory when it is gone."""
    kept = Recent()
    kept.keep(secret("7"))
    kept.keep(secret("7", "other"))
    assert kept.get(PLACE) == secret("7")
    kept.gone(PLACE)
    kept.gone(("Secret", "a", "other"))
    assert kept.weight() == 0


def test_one_that_is_larger_than_what_can_be_looked_back_at() -> None:
    kept = Recent()
    large = {**deployment("a"), "data": [f"{number}" for number in range(20_000)]}
    for each in (large, deployment("b")):
        kept.keep(each)
    assert kept.get(("Deployment", "a", "a")) == large
    assert kept.get(("Deployment", "a", "b")) == deployment("b")


@pytest.mark.parametrize(("seen", "stays"), [("7", True), ("6", True), ("8", False), ("other", False)])
def test_a_newer_version_makes_it_useless_and_a_late_event_does_not(seen: str, stays: bool) -> None:
    kept = Recent()
    kept.keep(secret("7"))
    kept.seen(PLACE, seen)
    assert (kept.get(PLACE) is not None) is stays


def test_what_is_gone_is_forgotten_and_strangers_are_no_trouble() -> None:
    kept = Recent()
    kept.keep(secret("7"))
    kept.gone(PLACE)
    kept.gone(PLACE)
    kept.seen(PLACE, "9")
    assert kept.get(PLACE) is None


def test_the_least_recently_written_leave_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "KEPT_CHILDREN", 2)
    kept = Recent()
    for name in ("a", "b", "a", "c"):
        kept.keep(secret("1", name))
    assert [kept.get(("Secret", "a", name)) is not None for name in ("a", "b", "c")] == [True, False, True]
