"""Keys, addresses, secrets and proofs: each is what it should be, and good for one thing alone."""

import base64
import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.webhooks.keys import (
    LIVE_SECRETS,
    AppHook,
    BadDocument,
    BadMasterKey,
    Document,
    Keys,
    Pinned,
    Proven,
    app_path_id,
    dump,
    from_chance,
    from_master,
    hkdf,
    hook_path_id,
    hook_secrets,
    is_pin_proven,
    is_proven,
    parse,
    prove,
    prove_pin,
    read_masters,
)

MASTERS = {1: bytes(range(32)), 2: bytes(range(1, 33)), 3: bytes(range(2, 34)), 4: bytes(range(3, 35))}
KEYS = from_master({1: MASTERS[1]})
ORIGIN = "https://api.github.com"
PROVEN = Proven("6f2d2a0c-0000-4000-8000-000000000001", ORIGIN, 1296269, "main", "installation/uid-1")


# --- keys ---


def test_keys_are_derived_as_the_rfc_says() -> None:
    """The first case of RFC 5869's appendix, as far as one block goes."""
    info = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")

    found = hkdf(b"\x0b" * 22, salt=bytes(range(13)), info=info)

    assert found.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=80), st.binary(max_size=40))
def test_keys_are_derived_as_others_do(material: bytes, salt: bytes, info: bytes) -> None:
    theirs = HKDF(SHA256(), length=32, salt=salt or None, info=info).derive(material)

    assert hkdf(material, salt=salt, info=info) == theirs


def _all(keys: Keys) -> list[bytes]:
    return [keys.id_key, *keys.proof_keys, *keys.hook_keys.values()]


def test_every_purpose_and_version_has_a_key_of_its_own() -> None:
    keys = from_master(MASTERS)

    assert len(set(_all(keys))) == 1 + 2 * LIVE_SECRETS
    assert not set(_all(keys)) & set(MASTERS.values())
    assert sorted(keys.hook_keys) == [2, 3, 4]


def test_a_new_version_is_added_and_the_id_key_stays() -> None:
    before = from_master({1: MASTERS[1]})
    after = from_master({1: MASTERS[1], 2: MASTERS[2]})
    without_the_first = from_master({2: MASTERS[2]}, id_key=before.id_key)

    assert after.id_key == before.id_key == without_the_first.id_key
    assert after.proof_keys[1:] == before.proof_keys
    assert without_the_first.proof_keys == after.proof_keys[:1]
    assert from_master({2: MASTERS[2]}).id_key != before.id_key


def test_keys_by_chance_are_all_drawn() -> None:
    drawn = iter(range(100))
    keys = from_chance(lambda length: bytes([next(drawn)]) * length)

    assert len(set(_all(keys))) == 3
    assert {len(key) for key in _all(keys)} == {32}


def test_nothing_secret_is_shown() -> None:
    app = AppHook(ORIGIN, ("hunter2",), "team-a", "our-app")
    keys = Keys(b"hunter2", (b"hunter2",), {1: b"hunter2"})

    assert "hunter2" not in repr(Document(keys, (app,)))


# --- the master key's files ---


def test_the_files_of_the_master_key_are_read() -> None:
    key = b"k" * 32
    files = {"1": key, "2": key + b"\n", "10": key + b"\r\n", "3": key + b"\n\n", "..data": b"", ".1.swp": b"x"}

    assert read_masters(files) == {1: key, 2: key, 10: key, 3: key + b"\n"}


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b"\n\n"])
def test_random_bytes_may_end_like_a_line(end: bytes) -> None:
    key = b"\xff" * (32 - len(end)) + end

    assert read_masters({"1": key}) == {1: key}
    with pytest.raises(BadMasterKey, match="fewer than 32 bytes"):
        read_masters({"1": key[1:]})


@pytest.mark.parametrize("name", ["key", "0", "01", "-1", "1.txt", "\u0661", "1\n", "1 ", "", "1234567"])
def test_a_file_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(BadMasterKey, match="name each after its version"):
        read_masters({"1": b"k" * 32, name: b"k" * 32})


@pytest.mark.parametrize("key", [b"", b"\n", b"s3cr3t", b"s3cr3t" + b"k" * 25, b"s3cr3t" + b"k" * 25 + b"\n"])
def test_a_short_key_is_refused_and_not_shown(key: bytes) -> None:
    with pytest.raises(BadMasterKey, match="has a file 2 of fewer than 32 bytes") as caught:
        read_masters({"1": b"k" * 32, "2": key})
    assert "s3cr3t" not in str(caught.value)


def test_a_folder_without_a_key_is_refused() -> None:
    with pytest.raises(BadMasterKey, match="has no file"):
        read_masters({"..data": b"k" * 32})


# --- what is derived differs when any part does ---

Parts = dict[str, Any]
HOOK: Parts = {"origin": ORIGIN, "repository_id": 7, "namespace": "team-a"}
APP: Parts = {"origin": ORIGIN, "installation_uid": "7", "namespace": "team-a"}
OTHERS: Parts = {
    "origin": "https://ghes.example.com/api/v3",
    "repository_id": 8,
    "namespace": "team-b",
    "installation_uid": "8",
}


@pytest.mark.parametrize(
    ("derive", "parts"), [(hook_path_id, HOOK), (app_path_id, APP), (lambda *a, **k: hook_secrets(*a, **k)[0], HOOK)]
)
def test_every_part_and_the_key_count(derive: Callable[..., str], parts: Parts) -> None:
    found = {derive(KEYS, **parts), derive(from_master({1: MASTERS[2]}), **parts)}
    found |= {derive(KEYS, **{**parts, name: OTHERS[name]}) for name in parts}

    assert len(found) == 2 + len(parts)


def test_an_app_and_a_repository_of_one_number_have_addresses_of_their_own() -> None:
    ids = {app_path_id(KEYS, **APP), hook_path_id(KEYS, **HOOK)}

    assert len(ids) == 2
    assert all(len(path_id) == 32 and path_id.isalnum() and path_id == path_id.lower() for path_id in ids)


def test_an_address_outlives_every_version_of_the_master_key() -> None:
    later = from_master({4: MASTERS[4]}, id_key=KEYS.id_key)

    assert hook_path_id(later, **HOOK) == hook_path_id(KEYS, **HOOK)
    assert hook_secrets(later, **HOOK) != hook_secrets(KEYS, **HOOK)


def test_the_newest_secret_comes_first_and_the_last_ones_count() -> None:
    secrets = hook_secrets(from_master(MASTERS), **HOOK)

    assert secrets == tuple(hook_secrets(from_master({n: MASTERS[n]}), **HOOK)[0] for n in (4, 3, 2))


@given(st.text("ab:/\0", max_size=6), st.text("ab:/\0", max_size=6), st.integers(0, 12))
def test_parts_that_read_the_same_one_after_the_other_are_told_apart(one: str, two: str, cut: int) -> None:
    joined = one + two
    other = (joined[:cut], joined[cut:])
    if other == (one, two):
        return

    def address(uid: str, namespace: str) -> str:
        return app_path_id(KEYS, origin=ORIGIN, installation_uid=uid, namespace=namespace)

    proofs = [prove(KEYS, replace(PROVEN, branch=branch, via=via)) for branch, via in ((one, two), other)]
    assert address(one, two) != address(*other)
    assert proofs[0] != proofs[1]


# --- proofs ---


def test_a_proof_is_good_for_what_it_is_about() -> None:
    proof = prove(KEYS, PROVEN)

    assert is_proven(KEYS, PROVEN, proof)
    assert proof.startswith("v1.")
    assert len(proof) <= 512


@pytest.mark.parametrize("part", [entry.name for entry in fields(Proven)])
def test_a_proof_is_good_for_nothing_else(part: str) -> None:
    changes: dict[str, Any] = {part: 1296270 if part == "repository_id" else f"{getattr(PROVEN, part)}x"}

    assert not is_proven(KEYS, replace(PROVEN, **changes), prove(KEYS, PROVEN))


@pytest.mark.parametrize("proof", [None, 1, True, "", "v1.", "v1.é", [], b"v1.", {"v1": 1}])
def test_what_is_no_proof_is_none(proof: object) -> None:
    assert not is_proven(KEYS, PROVEN, proof)


def test_a_proof_in_another_form_is_none() -> None:
    proof = prove(KEYS, PROVEN)

    for wrong in (proof + "=", proof[3:], proof.upper(), proof[:-1], proof + "\n"):
        assert not is_proven(KEYS, PROVEN, wrong)


PIN = Pinned(PROVEN.project_uid, PROVEN.origin, PROVEN.repository_id, "a" * 40)


def test_a_proof_of_a_pin_is_good_for_that_alone() -> None:
    proof = prove_pin(KEYS, PIN)

    assert is_pin_proven(KEYS, PIN, proof)
    for part in (entry.name for entry in fields(Pinned)):
        changes: dict[str, Any] = {part: 1296270 if part == "repository_id" else f"{getattr(PIN, part)}x"}
        assert not is_pin_proven(KEYS, replace(PIN, **changes), proof)
    assert not is_pin_proven(KEYS, PIN, None)
    # Made with one key, and of the same parts, what is made for another purpose is none.
    same = Keys(KEYS.id_key, (KEYS.id_key,), KEYS.hook_keys)
    pinned = Pinned("repository", HOOK["origin"], HOOK["repository_id"], HOOK["namespace"])
    code = base64.urlsafe_b64decode(prove_pin(same, pinned).removeprefix("v1.") + "=")
    assert base64.b32encode(code[:20]).decode().lower() != hook_path_id(same, **HOOK)


def test_older_keys_still_prove_and_the_newest_signs() -> None:
    old, both, new = (from_master(masters) for masters in ({1: MASTERS[1]}, MASTERS, {4: MASTERS[4]}))
    three = from_master({1: MASTERS[1], 2: MASTERS[2]})

    assert is_proven(three, PROVEN, prove(old, PROVEN))
    assert prove(both, PROVEN) == prove(new, PROVEN)
    assert not is_proven(new, PROVEN, prove(old, PROVEN))


def test_what_is_made_with_one_key_for_one_purpose_is_no_proof() -> None:
    same = Keys(KEYS.id_key, (KEYS.id_key,), {1: KEYS.id_key})

    secret = hook_secrets(same, **HOOK)[0]
    as_proof = "v1." + base64.urlsafe_b64encode(bytes.fromhex(secret)).decode().rstrip("=")
    assert not is_proven(same, Proven("", ORIGIN, 7, "team-a", ""), as_proof)


# --- the document ---

DOCUMENT = Document(
    from_master(MASTERS),
    (
        AppHook(ORIGIN, ("one", "two")),
        AppHook(OTHERS["origin"], ("ümlaut\n",), "team-a", "our-app"),
    ),
)


def content(**changes: Any) -> str:
    return json.dumps({**json.loads(dump(DOCUMENT)), **changes})


def test_what_is_written_is_read() -> None:
    assert parse(dump(DOCUMENT)) == DOCUMENT
    assert parse(dump(DOCUMENT).encode()) == DOCUMENT


def test_equal_documents_come_out_equal() -> None:
    keys = replace(DOCUMENT.keys, hook_keys=dict(sorted(DOCUMENT.keys.hook_keys.items(), reverse=True)))

    assert dump(Document(keys, tuple(reversed(DOCUMENT.apps)))) == dump(DOCUMENT)


def test_an_app_without_a_secret_is_not_written_and_spoils_nothing() -> None:
    empty = (AppHook(ORIGIN, ("",), "team-b", "empty"), AppHook(ORIGIN, (), "team-c", "none"))
    half = AppHook(ORIGIN, ("", "three"), "team-d", "half")

    found = parse(dump(replace(DOCUMENT, apps=(*empty, half))))

    assert found.apps == (replace(half, secrets=("three",)),)


def test_only_the_live_secrets_are_written() -> None:
    many = AppHook(ORIGIN, ("a", "b", "c", "d"))

    assert parse(dump(replace(DOCUMENT, apps=(many,)))).apps == (replace(many, secrets=("a", "b", "c")),)


def app(**changes: Any) -> list[dict[str, Any]]:
    return [{"origin": ORIGIN, "secrets": ["s3cr3t"], "namespace": None, "secret": None, **changes}]


SHORT = base64.b64encode(b"s3cr3t").decode()


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "s3cr3t", "[]", "null", "{}", '"s3cr3t"', b"\xff", "[" * 100_000),
        *(content(version=2), content(version="s3cr3t"), content(version=None)),
        *(content(idKey=SHORT), content(idKey=None), content(idKey=""), content(idKey="s3cr3t!"), content(idKey=7)),
        *(content(proofKeys=[]), content(proofKeys="s3cr3t"), content(proofKeys=[SHORT]), content(proofKeys=7)),
        *(content(hookKeys={}), content(hookKeys=[]), content(hookKeys={"one": SHORT}), content(hookKeys={"1": SHORT})),
        *(content(apps=None), content(apps={"s3cr3t": 1}), content(apps=["s3cr3t"]), content(apps=[{}])),
        *(content(apps=app(secrets=[])), content(apps=app(secrets=[""])), content(apps=app(secrets=["s3cr3t", ""]))),
        *(content(apps=app(secrets="s3cr3t")), content(apps=app(secrets=[None])), content(apps=app(secrets=None))),
        *(content(apps=app(secrets={"s3cr3t": 1})), content(apps=app(secrets=[["s3cr3t"]]))),
        *(content(apps=app(origin="")), content(apps=app(origin=None)), content(apps=app(namespace="team-a"))),
        *(content(apps=app(secret="our-app")), content(apps=app(namespace="", secret="")), content(apps=app(origin=7))),
    ],
)
def test_documents_that_are_refused(wrong: str | bytes) -> None:
    with pytest.raises(BadDocument) as caught:
        parse(wrong)
    assert "s3cr3t" not in str(caught.value)
    assert SHORT not in str(caught.value)
    assert caught.value.__cause__ is None
