"""Master keys: what is derived when they change, what never changes, and which one signs. Time is made."""

from __future__ import annotations

import pytest

from mooring.domain.webhooks.keys import Document, Keys, from_master
from mooring.services import webhook_secret as module
from mooring.services.master_keys import BadMasterKeys
from tests.unit.services.webhook_cases import MASTERS, OTHERS, Case, stored, with_document


def signing(keys: Keys | None) -> bytes:
    assert keys is not None
    return keys.proof_keys[0]


async def test_a_new_master_key_signs_when_every_gateway_knows_it() -> None:
    case = Case(1)
    async with case.running():
        old = signing(case.keys())
        case.folder.keys = {version: MASTERS[version] for version in (1, 2)}
        await case.time.run(module.POLL + 5)
        both = from_master({version: MASTERS[version] for version in (1, 2)})
        assert case.shelf.document.keys == both
        used = case.keys()
        assert used is not None
        assert set(used.proof_keys) == set(both.proof_keys)
        assert signing(case.keys()) == old
        await case.time.run(module.KNOWN_EVERYWHERE - 20)
        assert signing(case.keys()) == old
        await case.time.run(40)
        assert case.keys() == both
    assert len(case.shelf.writes) == 2
    assert case.audited == ["webhook.keys_made"] * 2


async def test_the_same_holds_where_it_came_while_nobody_led() -> None:
    case = Case(1, 2)
    case.shelf.secret = with_document(Document(from_master({1: MASTERS[1]})))
    async with case.running():
        assert case.shelf.document.keys == from_master({1: MASTERS[1], 2: MASTERS[2]})
        assert signing(case.keys()) == signing(from_master({1: MASTERS[1]}))
        await case.time.run(module.KNOWN_EVERYWHERE + module.POLL)
        assert case.keys() == case.shelf.document.keys


async def test_each_new_key_has_its_own_time() -> None:
    case = Case(1)
    async with case.running():
        await case.time.run(2 * module.KNOWN_EVERYWHERE)
        case.folder.keys = {version: MASTERS[version] for version in (1, 2)}
        await case.time.run(module.KNOWN_EVERYWHERE - 20)
        case.folder.keys = {version: MASTERS[version] for version in (1, 2, 3)}
        await case.time.run(module.POLL + 5)
        assert signing(case.keys()) == signing(from_master({1: MASTERS[1]}))
        await case.time.run(module.POLL + 20)
        assert signing(case.keys()) == signing(from_master({2: MASTERS[2]}))
        await case.time.run(module.KNOWN_EVERYWHERE)
        assert signing(case.keys()) == signing(from_master({3: MASTERS[3]}))


async def test_a_key_that_was_written_just_before_a_restart_signs_no_sooner() -> None:
    case = Case(1, 2, 3)
    case.shelf.secret = with_document(Document(from_master({1: MASTERS[1], 2: MASTERS[2]})))
    async with case.running():
        assert signing(case.keys()) == signing(from_master({1: MASTERS[1]}))
        await case.time.run(module.KNOWN_EVERYWHERE - 20)
        assert signing(case.keys()) == signing(from_master({1: MASTERS[1]}))
        await case.time.run(20 + module.POLL)
        assert case.keys() == case.shelf.document.keys == from_master({n: MASTERS[n] for n in (1, 2, 3)})


async def test_the_oldest_key_that_stays_signs_after_a_restart() -> None:
    case = Case(2, 3)
    case.shelf.secret = with_document(Document(from_master({n: MASTERS[n] for n in (1, 2, 3)})))
    async with case.running():
        assert signing(case.keys()) == signing(from_master({2: MASTERS[2]}))
        await case.time.run(module.KNOWN_EVERYWHERE + module.POLL)
        assert signing(case.keys()) == signing(from_master({3: MASTERS[3]}))


async def test_a_key_that_could_not_be_written_does_not_sign() -> None:
    case = Case(1)
    async with case.running():
        await case.time.run(2 * module.KNOWN_EVERYWHERE)
        old, secret = signing(case.keys()), case.shelf.secret
        case.shelf.secret = stored({}, "uid-theirs", "7", ours=False)
        case.folder.keys = {version: MASTERS[version] for version in (1, 2)}
        await case.time.run(2 * module.KNOWN_EVERYWHERE)
        assert signing(case.keys()) == old
        case.shelf.secret = secret
        case.see()
        await case.time.run(module.POLL)
        assert signing(case.keys()) == old
        await case.time.run(module.KNOWN_EVERYWHERE + module.POLL)
        assert signing(case.keys()) != old


async def test_where_no_key_stays_the_newest_signs_at_once() -> None:
    case = Case(4, 5)
    case.shelf.secret = with_document(Document(from_master({1: MASTERS[1]})))
    async with case.running():
        assert case.keys() == case.shelf.document.keys
        assert signing(case.keys()) == signing(from_master({5: MASTERS[5]}))


async def test_the_ids_of_addresses_never_change() -> None:
    case = Case(1)
    case.shelf.secret = with_document(Document(OTHERS))
    async with case.running():
        for versions in ((1, 2, 3, 4), (3, 4, 5), (5,)):
            case.folder.keys = {version: MASTERS[version] for version in versions}
            await case.time.run(60)
            assert case.shelf.document.keys == from_master(case.folder.keys, id_key=OTHERS.id_key)


async def test_a_folder_that_cannot_be_read_any_more_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(1)
    async with case.running():
        before = case.shelf.document
        case.folder.problem = BadMasterKeys("names a folder without a key; put one into a file named 1")
        await case.time.run(600)
        assert case.shelf.document == before
    assert len(case.shelf.writes) == 1
    assert sum("MOORING_MASTER_KEY_DIR" in record.message for record in caplog.records) == 1
