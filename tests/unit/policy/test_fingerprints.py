"""Fingerprints and checksums: stable, told apart by object and purpose, and of no help in finding the token."""

from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.fingerprints import fingerprint, rollout_checksum

TOKEN = "ghp_" + "a" * 36


def test_they_never_change_between_versions() -> None:
    # Another value here would roll every workload at the next upgrade.
    assert fingerprint("uid", TOKEN) == "cf1db0d098e38202"
    assert rollout_checksum("uid", TOKEN) == "68605e16e6449c4e"


def test_one_token_looks_unlike_in_two_objects_and_for_two_purposes() -> None:
    seen = {digest(uid, TOKEN) for digest in (fingerprint, rollout_checksum) for uid in ("one", "two")}

    assert len(seen) == 4


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_no_two_pairs_read_the_same(uid: str, token: str, other_uid: str, other_token: str) -> None:
    same = (uid, token) == (other_uid, other_token)

    assert (fingerprint(uid, token) == fingerprint(other_uid, other_token)) is same
    assert (fingerprint(uid + token, "") == fingerprint(uid, token)) is (token == "")


def test_they_are_short_and_fit_an_annotation() -> None:
    assert len(fingerprint("uid", TOKEN)) == 16
    assert int(rollout_checksum("uid", TOKEN), 16)
