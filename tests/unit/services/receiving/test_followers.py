"""Who follows what: by valid proofs alone, whatever comes in whichever order."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mooring.domain.webhooks.following import followed
from mooring.domain.webhooks.keys import Keys, hook_path_id, via_hook, via_installation
from mooring.services.receiving.followers import Followers
from mooring.services.receiving.installations import Installations
from mooring.services.receiving.places import Place
from tests.unit.services.receiving.world import (
    API,
    BRANCH,
    KEYS,
    ORIGIN,
    OTHER_KEYS,
    REF,
    REPOSITORY_ID,
    installation,
    project,
    sha,
)

SHOP = Place("team-a", "shop")
ACME = Place("team-a", "acme")
BY_ACME = frozenset({via_installation("uid-team-a-acme", "")})
HOOK = hook_path_id(KEYS, origin=ORIGIN, repository_id=REPOSITORY_ID, namespace="team-a")


def made(*, keys: Keys | None = KEYS) -> Followers:
    followers = Followers(API)
    if keys is not None:
        followers.use(keys)
    return followers


def found(followers: Followers, ref: str = REF, vias: frozenset[str] = BY_ACME) -> list[Place]:
    return [place for place, _ in followers.of_ref(ORIGIN, REPOSITORY_ID, ref, vias)]


def versioned(obj: dict[str, Any], version: int) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


def test_what_an_app_could_tell_of_is_nothing_of_another_s() -> None:
    followers, acme = made(), installation(app="key")
    followers.put_installation(acme)
    followers.put(project(by=acme))
    own = frozenset({via_installation("uid-team-a-acme", "key")})
    assert found(followers, vias=own) == [SHOP]
    # It is of the operator's App by now; nobody has proven yet that this one covers the repository.
    followers.put_installation(versioned(installation(), 11))
    assert found(followers) == found(followers, vias=own) == []
    followers.put_installation(versioned(acme, 12))
    assert found(followers, vias=own) == [SHOP]


def test_a_project_is_found_by_what_was_proven_of_it() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(project(by=acme))
    assert found(followers) == [SHOP]
    assert found(followers, "refs/heads/other") == []
    assert found(followers, "refs/tags/main") == []
    assert found(followers, vias=frozenset({via_installation("uid-other", "")})) == []
    assert list(followers.of_ref("https://api.github.com", REPOSITORY_ID, REF, BY_ACME)) == []
    assert list(followers.of_ref(ORIGIN, REPOSITORY_ID + 1, REF, BY_ACME)) == []
    assert len(followers) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_in_which_things_come_is_nothing(order: tuple[int, ...]) -> None:
    followers, acme = made(keys=None), installation()
    steps: list[Callable[[], None]] = [
        lambda: followers.put_installation(acme),
        lambda: followers.put(project(by=acme)),
        lambda: followers.use(KEYS),
    ]
    for number, which in enumerate(order):
        assert found(followers) == [], number
        steps[which]()
    assert found(followers) == [SHOP]


def test_a_forged_proof_follows_nothing() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    mine = project(by=acme)
    for change in ({"proof": "v1.x"}, {"proof": 7}, {"branch": "other"}, {"repositoryId": 1}, {"repositoryId": "1"}):
        followers.put(versioned({**mine, "status": {"source": {**mine["status"]["source"], **change}}}, 11))
        assert len(followers) == 0, change
        followers.drop(SHOP, "uid-team-a-shop")
    followers.put(mine)
    assert len(followers) == 1  # and the one that was changed is valid


def test_a_proof_is_good_for_the_one_project() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    copied = project("impostor", by=acme)
    copied["status"] = project(by=acme)["status"]
    followers.put(copied)
    assert found(followers) == []


def test_another_branch_in_the_spec_ends_it_until_it_is_proven_again() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(project(by=acme))
    other = versioned(project(by=acme), 11)
    other["spec"]["source"]["branch"] = "next"
    followers.put(other)
    assert found(followers) == []
    followers.put(versioned(project(by=acme, branch="next", source={"branch": "next"}), 12))
    assert found(followers, "refs/heads/next") == [SHOP]


def test_what_is_kept_says_all_that_a_proof_is_looked_at_with() -> None:
    acme = installation()
    for by in (None, acme):
        for source in (
            {},
            {"branch": BRANCH},
            {"branch": "next"},
            {"github": {"repository": "acme/shop", "repositoryId": REPOSITORY_ID}},
            {"github": {"repository": "acme/shop", "repositoryId": 1}},
            {"github": {"repository": "acme/shop", "host": "github.example.com"}},
            {"github": {"repository": "acme/shop", "host": "elsewhere.example.com"}},
            {"github": None, "git": {"url": "https://github.example.com/acme/shop"}},
        ):
            obj = project(by=by)
            obj["spec"]["source"] |= source
            followers = made()
            followers.put_installation(acme)
            followers.put(obj)
            kept = followers.get(SHOP)
            assert (kept and kept.followed) == followed(obj, by, KEYS, default_api=API), source


def test_an_installation_that_goes_ends_what_is_by_way_of_it() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(project(by=acme))
    followers.drop_installation(ACME, "uid-of-another")
    assert found(followers) == [SHOP]
    followers.drop_installation(ACME, "uid-team-a-acme")
    assert found(followers) == []
    # Made again under the same name it is another one: the proof is not about it.
    followers.put_installation(installation(uid="uid-new"))
    assert len(followers) == 0
    followers.put_installation(versioned(acme, 20))
    assert found(followers) == [SHOP]


def test_an_installation_that_is_at_another_api_ends_it_too() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(project(by=acme))
    followers.put_installation(versioned(installation(spec={"apiUrl": "https://elsewhere.example.com/api/v3"}), 11))
    assert len(followers) == 0


def test_other_keys_find_only_what_they_prove() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(project(by=acme))
    followers.put(project("second", by=acme, keys=OTHER_KEYS))
    assert found(followers) == [SHOP]
    followers.use(OTHER_KEYS)
    assert found(followers) == [Place("team-a", "second")]
    both = Keys(KEYS.id_key, (*OTHER_KEYS.proof_keys, *KEYS.proof_keys), KEYS.hook_keys)
    followers.use(both)
    assert sorted(found(followers)) == [Place("team-a", "second"), SHOP]


def test_what_is_old_changes_nothing() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(versioned(project(by=acme), 20))
    followers.put(versioned(project(by=acme, branch="old"), 9))
    assert found(followers) == [SHOP]


def test_what_is_read_after_a_conflict_is_what_is_there() -> None:
    followers, acme = made(), versioned(installation(), 5)
    followers.put_installation(acme)
    followers.put(versioned(project(by=acme, branch="new"), 11))
    followers.renew(SHOP, versioned(project(by=acme), 10))
    assert found(followers) == [SHOP]
    elsewhere = installation(spec={"apiUrl": "https://elsewhere.example.com/api/v3"})
    followers.renew_installation(versioned(elsewhere, 4))
    assert found(followers) == []


def test_what_was_written_is_what_is_there_from_then_on() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    obj = versioned(project(by=acme), 12)
    obj["status"] |= {"push": {"sha": sha(1), "pushedAt": "then"}, "deliveries": [{"delivery": "a"}]}
    followers.put(obj)
    news = {"push": {"sha": sha(2), "pushedAt": None}, "deliveries": [{"delivery": "b"}, {"delivery": "a"}]}
    followers.written(SHOP, news, onto="12", version="15")
    kept = followers.get(SHOP)
    assert kept is not None
    assert kept.status == {"push": {"sha": sha(2)}, "deliveries": news["deliveries"]}
    assert (kept.version, found(followers)) == ("15", [SHOP])


def test_the_late_answer_of_a_write_does_not_undo_what_the_watch_told() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    later = versioned(project(by=acme), 16)
    later["status"]["push"] = {"sha": sha(3)}
    followers.put(later)
    followers.written(SHOP, {"push": {"sha": sha(2)}}, onto="12", version="15")
    kept = followers.get(SHOP)
    assert kept is not None
    assert (kept.version, kept.status) == ("16", {"push": {"sha": sha(3)}})
    followers.drop(SHOP, kept.uid)
    followers.written(SHOP, {"push": {"sha": sha(2)}}, onto="16", version="17")
    assert followers.get(SHOP) is None


def test_a_notice_that_was_written_is_known_unless_the_watch_was_quicker() -> None:
    installations, place = Installations("https://api.github.com"), Place("team-a", "acme")
    installations.put(versioned(installation(), 5))
    installations.written(place, {"hint": {"event": "installation", "delivery": "a"}}, onto="5", version="6")
    installations.written(place, {"hint": {"event": "installation", "delivery": "late"}}, onto="5", version="7")
    kept = installations.get(place)
    assert kept is not None
    assert (kept.version, kept.hint) == ("6", {"event": "installation", "delivery": "a"})


def test_after_a_restore_what_is_listed_counts_though_its_versions_are_lower() -> None:
    followers, acme = made(), versioned(installation(spec={"apiUrl": "https://elsewhere.example.com/api/v3"}), 900)
    followers.put_installation(acme)
    followers.put(versioned(project(by=acme, branch="new"), 1000))
    before = installation()
    followers.put(versioned(project(by=before), 20), listed=True)
    followers.put_installation(versioned(before, 10), listed=True)
    assert found(followers) == [SHOP]


def test_an_answer_brings_no_project_back() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    followers.put(project(by=acme))
    followers.drop(SHOP, "uid-team-a-shop")
    followers.renew(SHOP, versioned(project(by=acme), 30))
    assert len(followers) == 0
    assert followers.get(SHOP) is None
    # Nor does it take the place of the one that came after.
    followers.put(versioned(project(by=acme, uid="uid-second"), 40))
    followers.renew(SHOP, versioned(project(by=acme), 30))
    assert (kept := followers.get(SHOP)) is not None
    assert kept.uid == "uid-second"
    followers.drop(SHOP, "uid-team-a-shop")
    assert found(followers) == [SHOP]


def test_what_was_recorded_is_kept_with_its_version() -> None:
    followers, acme = made(), installation()
    followers.put_installation(acme)
    obj = versioned(project(by=acme), 12)
    obj["status"] |= {"push": {"sha": sha(1)}, "deliveries": [{"delivery": "a"}], "url": "https://shop"}
    followers.put(obj)
    kept = followers.get(SHOP)
    assert kept is not None
    assert (kept.version, kept.status) == ("12", {"push": {"sha": sha(1)}, "deliveries": [{"delivery": "a"}]})


def test_a_repository_hook_is_found_by_its_address() -> None:
    followers = made()
    followers.put(project())
    place, what = followers.of_via(via_hook(HOOK)) or (None, None)
    assert place == SHOP
    assert what is not None
    assert (what.repository_id, what.ref) == (REPOSITORY_ID, REF)
    assert followers.of_via(via_hook("x" * 32)) is None
    followers.drop(SHOP, "uid-team-a-shop")
    assert followers.of_via(via_hook(HOOK)) is None


def test_the_index_is_that_of_a_fresh_start_whatever_happened() -> None:
    dice, followers = random.Random(7), made()  # noqa: S311 - a test repeats
    versions = itertools.count(100)
    objects: dict[Place, dict[str, Any]] = {}
    installs: dict[Place, dict[str, Any]] = {}
    for _ in range(600):
        name = f"p{dice.randrange(6)}"
        which = dice.randrange(3)
        by = installation(f"i{which}", uid=f"uid-{which}-{dice.randrange(2)}")
        if dice.random() < 0.3:
            made_now = versioned(by, next(versions))
            place = Place("team-a", by["metadata"]["name"])
            if dice.random() < 0.3 and place in installs:
                followers.drop_installation(place, installs.pop(place)["metadata"]["uid"])
            else:
                installs[place] = made_now
                followers.put_installation(made_now)
            continue
        place = Place("team-a", name)
        if dice.random() < 0.2 and place in objects:
            followers.drop(place, objects.pop(place)["metadata"]["uid"])
            continue
        obj = versioned(project(name, by=dice.choice([None, by]), branch=dice.choice([BRANCH, "next"])), next(versions))
        if dice.random() < 0.2:
            obj["status"].pop("source")
        objects[place] = obj
        followers.put(obj)
    fresh = made()
    for obj in installs.values():
        fresh.put_installation(obj)
    for obj in objects.values():
        fresh.put(obj)
    vias = frozenset({via_hook(HOOK), *(via_installation(f"uid-{n}-{m}", "") for n in range(3) for m in range(2))})
    for ref in (REF, "refs/heads/next"):
        assert sorted(found(followers, ref, vias)) == sorted(found(fresh, ref, vias))
    one, two = (list(each.of_repository(ORIGIN, REPOSITORY_ID, vias)) for each in (followers, fresh))
    assert sorted(place for place, _ in one) == sorted(place for place, _ in two)
    assert len(one) == len(followers) == len(fresh) > 0


def test_nothing_is_left_of_what_is_gone() -> None:
    followers, acme = made(), installation(app="key")
    followers.put_installation(acme)
    followers.put(project(by=acme))
    followers.put(project("second"))
    followers.drop(SHOP, "uid-team-a-shop")
    followers.drop(Place("team-a", "second"), "uid-team-a-second")
    followers.drop_installation(ACME, "uid-team-a-acme")
    kept = [value for holder in (followers, followers.installations) for value in vars(holder).values()]
    sizes = [len(value) for value in kept if hasattr(value, "__len__") and not isinstance(value, str)]
    assert len(sizes) > 9
    assert set(sizes) == {0}


def test_a_project_takes_little_memory() -> None:
    delivery = {
        "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "event": "push",
        "sha": sha(1),
        "ref": REF,
        "sender": "alice",
        "receivedAt": "2026-03-01T12:00:00Z",
    }
    followers, acme, count = made(), installation(), 200
    followers.put_installation(acme)
    tracemalloc.start()
    try:
        for number in range(count):
            obj = project(f"shop-{number}", by=acme, repository_id=number + 1)
            obj["spec"]["workload"] = {"env": [{"name": f"N{n}", "value": "x" * 100} for n in range(50)]}
            obj["status"] |= {"deliveries": [{**delivery, "delivery": f"{number}-{n}"} for n in range(20)]}
            followers.put(obj)
        del obj
        each = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    # 10,000 of them: less than 40 MiB of the 150 that the gateway may have.
    assert each < 4 * 1024
