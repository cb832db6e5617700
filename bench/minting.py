"""Many installations with a token each: how long the operator takes for them."""

from __future__ import annotations

from statistics import median

from bench import arriving, bare, worlds
from bench.arriving import Arrival, told
from bench.bare import Bare
from bench.figures import Book, ratio
from bench.floor import Request
from bench.site import Site, site
from bench.size import Say, Size
from bench.worlds import APP_SECRET, World
from tests.cluster.harness import People
from tests.cluster.operator.apps import put_secret

# Installations in a namespace: what they ask for with the App's key stays below what a namespace may.
EACH = 100


def measure(book: Book, size: Size, say: Say) -> None:
    """Measure product and floor one after the other, several times."""
    both = [once(size.installations, say) for _ in range(size.runs)]
    seconds = median(floor.seconds for _, floor in both)
    ratios = [ratio(arrival.seconds, floor.seconds, "tokens_500") for arrival, floor in both]
    book.add("tokens_500", ratios, "x", n=size.installations, floor=seconds)
    book.add("tokens_500_seconds", [arrival.seconds for arrival, _ in both], "s", n=size.installations, floor=seconds)


def once(count: int, say: Say) -> tuple[Arrival, Bare]:
    """Reconcile so many new installations in a lab of their own; return that, and the floor of it."""
    with site() as here:
        world = accounts(here, count)
        spaces = [here.people(f"teams-{number}") for number in range(-(-count // EACH))]
        for people in spaces:
            put_secret(people, APP_SECRET, world.app_secret)
        # The operator writes its keys at its first start, and that is not what is measured.
        arriving.settle(world, [])
        worlds.send(here, [installation(here, spaces, number) for number in range(count)])
        arrival = arriving.reconciled(here, count, "githubinstallations", arriving.is_ready)
        say(f"  {told(arrival, 'installations')}")
        floor = bare.floor_of(world, arrival, spaces)
        say(f"  {bare.summary(floor)}")
        return arrival, floor


def accounts(here: Site, count: int) -> World:
    """Make so many accounts at GitHub, with a repository and an installation of one App each."""
    seeded = here.hub.seed(
        users=[{"login": "alice"}],
        organizations=[{"login": "team-{n}", "count": count, "members": {"alice": "admin"}}],
        apps=[worlds.APP],
        repositories=[{"owner": "team-{n}", "name": "app", "count": count, "private": True}],
        installations=[{"app": worlds.APP["slug"], "account": "team-{n}", "count": count, "repositories": "all"}],
    )
    return worlds.of(here, seeded)


def installation(here: Site, spaces: list[People], number: int) -> Request:
    """Return what makes an installation with one output."""
    team = f"team-{number + 1}"
    output = {
        "secretName": f"ci-{team}",
        "format": "Token",
        "repositories": [f"{team}/app"],
        "permissions": {"contents": "read"},
    }
    spec = {"account": team, "appSecretRef": {"name": APP_SECRET}, "outputs": [output]}
    return worlds.own(here, "GitHubInstallation", spaces[number // EACH].namespace, team, spec)
