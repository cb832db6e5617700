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
from tests.cluster.operator.apps import put_app

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
        wide = -(-count // EACH)
        world = accounts(here, count, wide)
        spaces = [here.people(f"teams-{number}") for number in range(wide)]
        for people, app in zip(spaces, world.apps, strict=True):
            put_app(people, app, APP_SECRET)
        # The operator writes its keys at its first start, and that is not what is measured.
        arriving.settle(world, [])
        worlds.send(here, [installation(here, spaces, number) for number in range(count)])
        arrival = arriving.reconciled(here, count, "githubinstallations", arriving.is_ready)
        say(f"  {told(arrival, 'installations')}")
        floor = bare.floor_of(world, arrival, spaces)
        say(f"  {bare.summary(floor)}")
        return arrival, floor


def accounts(here: Site, count: int, apps: int) -> World:
    """Make so many accounts at GitHub, with a repository and an installation of one of some Apps each."""
    seeded = here.hub.seed(
        users=[{"login": "alice"}],
        organizations=[{"login": "team-{n}", "count": count, "members": {"alice": "admin"}}],
        apps=[worlds.app(number) for number in range(apps)],
        repositories=[{"owner": "team-{n}", "name": "app", "count": count, "private": True}],
        installations=[
            {"app": worlds.slug(number // EACH), "account": team(number), "repositories": "all"}
            for number in range(count)
        ],
    )
    return worlds.of(here, seeded)


def team(number: int) -> str:
    """Name an account."""
    return f"team-{number + 1}"


def installation(here: Site, spaces: list[People], number: int) -> Request:
    """Return what makes an installation with one output."""
    account = team(number)
    output = {
        "secretName": f"ci-{account}",
        "format": "Token",
        "repositories": [f"{account}/app"],
        "permissions": {"contents": "read"},
    }
    spec = {"account": account, "appSecretRef": {"name": APP_SECRET}, "outputs": [output]}
    return worlds.own(here, "GitHubInstallation", spaces[number // EACH].namespace, account, spec)
