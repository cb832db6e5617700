"""Which revision counts: the stored one as far as what runs, or GitHub, bears it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mooring.domain.errors import Transient
from mooring.domain.manifests import checkout
from mooring.domain.reasons import Reason
from mooring.domain.tokens import Resolution
from mooring.ports import Object
from mooring.services.beliefs import Beliefs
from mooring.services.seen import Seen
from mooring.services.store import key_of
from tests.unit.objects import PAT
from tests.unit.services.followed import API, A, B, C, World, parsed

RESOLVED = Resolution("global", Reason.GLOBAL_TOKEN, "From the user.", token=PAT, api_url=API)
PRESENT = "registry.example.com/mooring:1.0.0"


class Bench(World):
    """A world with beliefs."""

    edited = False

    def __post_init__(self) -> None:
        """Put it together."""
        super().__post_init__()
        self.beliefs = Beliefs(self.platform, self.sources)

    async def settle(self, obj: Object, deployment: Object | None, *, trouble: bool = False) -> Seen:
        """Find out what counts."""
        seen = Seen(obj, parsed(obj), RESOLVED)
        self.github.asked.clear()
        if not trouble:
            seen.source = await self.sources.find(parsed(obj), obj, seen.at_hand)
        await self.beliefs.settle(seen, deployment, lambda _: self.edited)
        return seen


def runs(sha: str, *, trigger: str = "Create", image: str = "img:1", generation: str = "1") -> Object:
    """Return a Deployment that runs a commit."""
    annotations = {"mooring.dev/revision": sha, "mooring.dev/trigger": trigger}
    pod = {"initContainers": [{"name": checkout.CONTAINER, "image": image}]}
    own = {"mooring.dev/applied-generation": generation, "mooring.dev/applied": "x"}
    return {
        "metadata": {"annotations": own, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": pod}},
    }


def under_way(bench: Bench, sha: str = B, **more: Any) -> Object:
    """Return a Project whose newest revision is stored, and not rolled out as far as its history tells."""
    fields = {"revision": {"sha": sha, "trigger": "Push"}, "source": {"decidedSha": sha, "delivery": "d1"}}
    return bench.project(**{**fields, **more})


def counts(seen: Seen) -> tuple[str | None, str | None]:
    """Return the commits of the revision and of the source."""
    return seen.stored.sha if seen.stored else None, seen.source.sha if seen.source else None


async def test_what_runs_bears_the_status_out_without_a_question() -> None:
    bench = Bench()
    assert counts(await bench.settle(bench.project(), runs(A))) == (A, A)
    assert bench.github.asked == []


async def test_a_revision_of_an_operator_that_ended_is_confirmed_by_github() -> None:
    bench = Bench()
    bench.github.tip = B
    seen = await bench.settle(under_way(bench), runs(A))
    assert (counts(seen), bench.github.asked) == ((B, B), ["head"])
    # Once: until it runs, and also where it is taken away again.
    assert counts(await bench.settle(under_way(bench), None)) == (B, B)
    assert bench.github.asked == []
    bench.beliefs.forget(key_of(under_way(bench)))
    await bench.settle(under_way(bench), runs(A))
    assert bench.github.asked == ["head"]


async def test_a_commit_that_is_not_the_head_is_not_rolled_out() -> None:
    """Whoever wrote it, and though it once was; what runs goes on, and the push is decided on anew."""
    bench = Bench()
    bench.github.tip, bench.github.on_branch = C, frozenset({B})
    seen = await bench.settle(under_way(bench), runs(A))
    assert counts(seen) == (A, A)
    assert seen.source is not None
    assert (seen.source.decided_sha, seen.source.delivery) == (A, None)


async def test_where_nothing_runs_a_commit_of_the_branch_will_do() -> None:
    bench = Bench()
    bench.github.tip, bench.github.on_branch = C, frozenset({B})
    assert counts(await bench.settle(under_way(bench), None)) == (B, B)
    other = Bench()
    other.github.tip = C
    seen = await other.settle(under_way(other), None)
    assert (counts(seen), other.github.asked) == ((B, C), ["head", "on_a_branch", "head"])


async def test_a_deployment_of_another_spec_is_no_witness() -> None:
    bench = Bench()
    bench.github.tip = C
    assert counts(await bench.settle(under_way(bench), runs(A, generation="0"))) == (A, C)


async def test_an_old_status_rolls_nothing_back() -> None:
    bench = Bench()
    stored = bench.project()["status"]["revision"]
    obj = bench.project(history=[stored])
    seen = await bench.settle(obj, runs(B, trigger="Push"))
    assert (counts(seen), bench.github.asked) == ((B, B), [])
    # But what somebody did to the Deployment is put right.
    bench.edited = True
    assert counts(await bench.settle(obj, runs(B, trigger="Push"))) == (A, A)


async def test_a_lost_status_goes_on_from_what_runs() -> None:
    bench = Bench()
    bench.github.tip = C
    obj = bench.project()
    obj["status"] = {}
    seen = await bench.settle(obj, runs(A))
    assert counts(seen) == (A, A)
    # A revision alone that is lost is not made up from what the source says was decided.
    forged = bench.project(source={"decidedSha": B})
    del forged["status"]["revision"]
    assert counts(await bench.settle(forged, runs(A))) == (A, A)
    assert counts(await bench.settle(forged, None)) == (None, C)


async def test_in_trouble_nothing_is_rolled_that_does_not_run() -> None:
    bench = Bench()
    assert counts(await bench.settle(under_way(bench), runs(A), trouble=True)) == (None, None)
    assert counts(await bench.settle(bench.project(), runs(A), trouble=True)) == (A, None)
    assert bench.github.asked == []


async def test_a_github_that_is_away_leaves_it_open() -> None:
    bench = Bench()
    bench.github.troubles["head"] = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")
    with pytest.raises(Transient):
        await bench.settle(under_way(bench), runs(A))


async def test_what_this_process_stored_needs_no_witness() -> None:
    bench = Bench()
    obj = under_way(bench)
    stored = parsed(obj).status
    assert stored is not None
    assert stored.revision is not None
    bench.beliefs.stored(obj, stored.revision)
    assert (counts(await bench.settle(obj, runs(A))), bench.github.asked) == ((B, B), [])
    # For this object and this commit alone.
    bench.github.tip = A
    assert counts(await bench.settle(under_way(bench, sha=C), runs(A))) == (A, A)
    another = under_way(bench, metadata={"uid": "another"})
    assert counts(await bench.settle(another, runs(A))) == (A, A)


async def test_no_status_names_the_image_that_checks_out() -> None:
    bench = Bench()
    forged = bench.project(revision={"checkoutImage": "evil"})
    for deployment, image in ((runs(A), "img:1"), (None, PRESENT)):
        bench.beliefs.forget(key_of(forged))
        seen = await bench.settle(forged, deployment)
        assert seen.stored is not None
        assert seen.stored.checkout_image == image
    # What somebody did to the Deployment is no image of ours either.
    bench.edited = True
    seen = await bench.settle(bench.project(), runs(A, image="evil"))
    assert seen.stored is not None
    assert seen.stored.checkout_image == "img:1"


async def test_a_pin_is_no_witness_for_itself() -> None:
    bench = Bench()
    obj = bench.project(follow={"revision": B}, revision={"sha": B})
    for signed in (True, False):
        seen = Seen(obj, parsed(obj), RESOLVED)
        bench.github.on_branch = frozenset({B})
        fresh = await bench.sources.find(parsed(obj), obj, seen.at_hand)
        assert fresh is not None
        seen.source = replace(fresh, fresh=False, pin_proof=fresh.pin_proof if signed else "v1.x")
        bench.beliefs.forget(key_of(obj))
        await bench.beliefs.settle(seen, runs(A), lambda _: False)
        assert seen.stored is not None
        assert seen.stored.sha == (B if signed else A)
