"""Which version of the key repositories' hooks are given: the newest that every gateway knows. Time is made."""

from __future__ import annotations

from mooring.domain.webhooks.keys import Document, from_master
from mooring.services import webhook_secret as module
from mooring.services.webhook_secret import WebhookSecret
from tests.unit.services.webhook_cases import MASTERS, Case, with_document


class Hooked(Case):
    """A process that leads, and notes which hooks it asks for."""

    def __init__(self, *versions: int) -> None:
        super().__init__(*versions)
        self.asked_for: list[int] = []
        self.webhooks = WebhookSecret(
            self.platform,
            lambda: None,
            ask_hooked=self.asked_for.append,
            folder=self.folder,
            masters=self.folder.keys,
            waiting=self.time.wait,
        )

    @property
    def version(self) -> int | None:
        """Return the version that hooks are given; its key is there."""
        version, keys = self.platform.hook_version, self.keys()
        assert version is not None
        assert keys is not None
        assert version in keys.hook_keys
        return version

    def mount(self, *versions: int) -> None:
        """Change the master keys."""
        self.folder.keys = {version: MASTERS[version] for version in versions}


def was(*versions: int) -> Document:
    """Return what an earlier process has written."""
    return Document(from_master({version: MASTERS[version] for version in versions}))


async def test_the_first_is_good_at_once_and_another_when_every_gateway_knows_it() -> None:
    case = Hooked(1)
    async with case.running():
        assert case.version == 1
        case.mount(1, 2)
        await case.time.run(module.KNOWN_EVERYWHERE - 20)
        assert (case.version, case.asked_for) == (1, [])
        await case.time.run(20 + 2 * module.POLL)
        assert (case.version, case.asked_for) == (2, [2])
        await case.time.run(module.KNOWN_EVERYWHERE)
        assert case.asked_for == [2]


async def test_after_a_restart_the_newest_may_be_new_to_gateways() -> None:
    case = Hooked(1, 2)
    case.shelf.secret = with_document(was(1, 2))
    async with case.running():
        assert case.version == 1
        await case.time.run(module.KNOWN_EVERYWHERE + module.POLL)
        assert (case.version, case.asked_for) == (2, [2])


async def test_where_all_are_new_the_newest_is_as_good_as_any() -> None:
    case = Hooked(2, 3)
    case.shelf.secret = with_document(was(1))
    async with case.running():
        assert case.version == 3


async def test_one_that_was_taken_away_is_used_no_more() -> None:
    case = Hooked(1, 2)
    async with case.running():
        await case.time.run(module.KNOWN_EVERYWHERE + module.POLL)
        assert case.version == 2
        case.mount(1)
        await case.time.run(2 * module.POLL)
        assert case.version == 1
