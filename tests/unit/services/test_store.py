"""The store: what was seen last counts, in whatever order it comes, and the index follows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mooring.services import store as module
from mooring.services.store import Key, Reference, Store, key_of, references, user_reference
from tests.unit.objects import raw, raw_project, raw_user

SHOP = Key("Project", "team-a", "shop")


def at(version: int, obj: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version), **metadata}}


def test_who_waits_for_a_person_is_known_by_the_status_that_was_seen_last() -> None:
    def told(status: str) -> dict[str, Any]:
        return {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Stalled", "status": status}]}

    store = Store()
    for version, (status, stalled) in enumerate([("True", True), ("False", False), ("True", True)]):
        store.put(at(version, {**raw_project(), "status": told(status)}))
        assert store.is_stalled(SHOP) is stalled
    store.put(at(1, {**raw_project(), "status": told("False")}))
    assert store.is_stalled(SHOP), "what is older says nothing"
    store.drop(SHOP)
    assert not store.is_stalled(SHOP)


# --- references ---


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        (raw_project(), {("GitHubUser", "team-a", "default")}),
        (raw_project(spec={"userRef": None}), {("GitHubUser", "team-a", "default")}),
        (raw_project(spec={"userRef": {"name": "jane", "namespace": "people"}}), {("GitHubUser", "people", "jane")}),
        (
            raw_project(
                spec={
                    "userRef": {"name": "jane"},
                    "token": {"secretRef": {"name": "pat"}},
                    "expose": {"host": "shop.example.com"},
                    "workload": {"image": "a", "serviceAccountName": "builder"},
                }
            ),
            {
                ("GitHubUser", "team-a", "jane"),
                ("Secret", "team-a", "pat"),
                ("Host", "", "shop.example.com"),
                ("ServiceAccount", "team-a", "builder"),
            },
        ),
        (raw_user(), {("Secret", "team-a", "user-default-global-secrets")}),
        (
            raw_user(
                spec={
                    "userId": "jane",
                    "tokenSecretRef": {"name": "pat"},
                    "tokens": [{"name": "a", "owners": ["a"], "secretRef": {"name": "pat-a"}}],
                }
            ),
            {
                ("Secret", "team-a", "pat"),
                ("Secret", "team-a", "pat-a"),
                ("Secret", "team-a", "user-jane-global-secrets"),
            },
        ),
        (raw("GitHubInstallation", "app", {}), set()),
    ],
)
def test_what_an_object_depends_on(obj: dict[str, Any], found: set[tuple[str, str, str]]) -> None:
    assert references(obj) == {Reference(*entry) for entry in found}


def test_an_object_without_a_spec_is_no_error() -> None:
    bare = {key: value for key, value in raw_project().items() if key != "spec"}
    assert references(bare) == {user_reference(bare)}


# --- order ---


@given(st.permutations([at(version, raw_project()) for version in (8, 9, 10, 100)]))
def test_the_newest_stays_in_whatever_order_they_come(seen: list[dict[str, Any]]) -> None:
    store, newest = Store(), 0
    for obj in seen:
        version = int(obj["metadata"]["resourceVersion"])
        assert store.put(obj) is (version > newest)
        newest = max(newest, version)
    found = store.get(SHOP)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "100"


def test_the_same_again_is_no_news() -> None:
    store = Store()
    assert store.put(at(5, raw_project()))
    assert not store.put(at(5, raw_project()))


def test_what_came_after_stays_when_the_one_before_goes() -> None:
    store = Store()
    store.put(at(5, raw_project(), uid="first"))
    store.put(at(7, raw_project(), uid="second"))
    assert not store.drop(SHOP, uid="first")
    found = store.get(SHOP)
    assert found is not None
    assert found["metadata"]["uid"] == "second"


def test_one_that_was_made_within_the_same_second_is_not_replaced_by_the_one_before() -> None:
    store = Store()
    store.put(at(7, raw_project(), uid="second"))
    assert not store.put(at(6, raw_project(), uid="first"))


def test_a_late_answer_does_not_bring_back_what_is_gone() -> None:
    store = Store()
    store.put(at(5, raw_project()))
    assert store.drop(SHOP, uid="uid-shop")
    assert not store.put(at(6, raw_project()))
    assert len(store) == 0
    assert store.put(at(7, raw_project(), uid="another"))


def test_what_is_remembered_of_the_gone_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_GONE", 3)
    store = Store()
    for number in range(10):
        store.drop(SHOP, uid=f"uid-{number}")
    assert len(store._gone) == 3  # noqa: SLF001 - the bound is what is tested


def test_versions_that_are_no_numbers_are_compared_as_words() -> None:
    store = Store()
    assert store.put(at(0, raw_project(), resourceVersion="a"))
    assert not store.put(at(0, raw_project(), resourceVersion="a"))
    assert store.put(at(0, raw_project(), resourceVersion="b"))


def test_what_nobody_reads_is_not_kept_and_the_caller_s_object_is_left_alone() -> None:
    store = Store()
    obj = at(5, raw_project(), managedFields=[{"manager": "kubectl"}])
    store.put(obj)
    assert "managedFields" in obj["metadata"]
    found = store.get(SHOP)
    assert found is not None
    assert "managedFields" not in found["metadata"]


def test_objects_share_their_texts_so_that_ten_thousand_fit_into_memory() -> None:
    store = Store()
    for name in ("shop", "blog"):
        # As it comes from the API server: each answer has texts of its own.
        store.put(json.loads(json.dumps(at(5, raw_project(name, {"userRef": {"name": "jane"}}), uid=f"uid-{name}"))))
    one, other = (store.get(Key("Project", "team-a", name)) for name in ("shop", "blog"))
    assert one is not None
    assert other is not None
    assert one["spec"]["userRef"]["name"] is other["spec"]["userRef"]["name"]
    assert [id(name) for name in one["spec"]] == [id(name) for name in other["spec"]]
    assert one["metadata"]["namespace"] is other["metadata"]["namespace"]
    assert one["spec"] is not other["spec"]


def test_of_what_a_list_holds_texts_are_shared_too() -> None:
    store = Store()
    for name in ("jane", "joe"):
        tokens = [{"name": "a", "owners": ["acme"], "secretRef": {"name": "pat"}}]
        store.put(json.loads(json.dumps(at(5, raw_user(name, {"tokens": tokens}), uid=f"uid-{name}"))))
    one, other = store.users_in("team-a")
    assert one["spec"]["tokens"][0]["owners"][0] is other["spec"]["tokens"][0]["owners"][0]
    assert one["spec"]["tokens"] == other["spec"]["tokens"]


# --- the whole, against a model ---

SPECS: list[dict[str, Any]] = [
    {},
    {"userRef": {"name": "jane"}},
    {"userRef": {"name": "jane", "namespace": "team-b"}},
    {"token": {"secretRef": {"name": "pat"}}, "expose": {"host": "a.example.com"}},
]
NAMES, PLACES = st.sampled_from(["a", "b"]), st.sampled_from(["team-a", "team-b"])


class StoreMachine(RuleBasedStateMachine):
    """Objects come, change and go in a growing order of versions; the store is held to plain dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.model, self.version = Store(), dict[Key, dict[str, Any]](), 0

    @rule(project=st.booleans(), name=NAMES, place=PLACES, spec=st.sampled_from(SPECS))
    def come(self, project: bool, name: str, place: str, spec: dict[str, Any]) -> None:
        self.version += 1
        make = raw_project if project else raw_user
        found = self.model.get(Key("Project" if project else "GitHubUser", place, name))
        uid = found["metadata"]["uid"] if found else f"uid-{self.version}"
        obj = make(name, spec, namespace=place, uid=uid, resourceVersion=str(self.version))
        self.model[key_of(obj)] = obj
        assert self.store.put(obj)
        assert not self.store.put({**obj, "spec": {"userRef": {"name": "stale"}}})

    @rule(project=st.booleans(), name=NAMES, place=PLACES)
    def go(self, project: bool, name: str, place: str) -> None:
        key = Key("Project" if project else "GitHubUser", place, name)
        gone = self.model.pop(key, None)
        assert self.store.drop(key, uid=gone["metadata"]["uid"] if gone else "unknown") is (gone is not None)

    @invariant()
    def all_views_agree_with_the_model(self) -> None:
        assert sorted(self.store) == sorted(self.model)
        assert all(self.store.get(key) == obj for key, obj in self.model.items())
        wanted = {(reference, key) for key, obj in self.model.items() for reference in references(obj)}
        kept = {(reference, key) for reference, keys in self.store._referrers.items() for key in keys}  # noqa: SLF001 - the index is what is tested
        assert kept == wanted
        for place in ("team-a", "team-b"):
            users = [self.model[key] for key in sorted(self.model) if key[:2] == ("GitHubUser", place)]
            assert self.store.users_in(place) == users
            keys = sorted(key for key in self.model if key[:2] == ("Project", place))
            assert self.store.keys_in("Project", place) == keys

    def teardown(self) -> None:
        for key in list(self.model):
            self.store.drop(key)
        assert not self.store._referrers  # noqa: SLF001 - nothing is left behind
        assert not self.store._placed  # noqa: SLF001 - nothing is left behind


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30)


def test_of_what_is_for_people_only_what_a_run_needs_is_kept() -> None:
    """Ten thousand Projects with twenty deliveries and ten past revisions would take half of the memory with these."""
    store = Store()
    history = [{"sha": f"{number:040x}", "trigger": "Push"} for number in range(10)]
    renamed = {"event": "repository", "delivery": "r", "receivedAt": "2026-01-01T00:00:00Z"}
    pushes = [{"event": "push", "delivery": f"p{number}"} for number in range(19)]
    obj = at(5, raw_project())
    obj["status"] = {"history": history, "deliveries": [*pushes, renamed], "observedGeneration": 1}
    assert store.put(obj)
    found = store.get(key_of(obj))
    assert found is not None
    assert found["status"] == {"history": history, "deliveries": [renamed], "observedGeneration": 1}
    assert len(obj["status"]["deliveries"]) == 20
    kept = store._objects[key_of(obj)]  # noqa: SLF001 - what must stay small is seen nowhere else
    assert kept["status"] == {}

    later = {**at(6, raw_project()), "status": {"observedGeneration": 1, "deliveries": pushes}}
    assert store.put(later)
    assert (store.get(key_of(obj)) or {})["status"] == {"observedGeneration": 1}
    store.put(at(7, obj))
    assert store.drop(key_of(obj))
    assert store.get(key_of(obj)) is None
    assert not store._rests  # noqa: SLF001
