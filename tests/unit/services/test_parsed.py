"""Each version of an object is read once, whoever asks."""

from __future__ import annotations

from mooring.domain.resources.github_user import GitHubUser
from mooring.services.parsed import KEPT_MODELS, Parsed
from tests.unit.objects import raw_user


def test_a_version_is_read_once_and_another_one_anew() -> None:
    parsed, obj = Parsed(GitHubUser), raw_user()
    obj["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    first = parsed(obj)
    assert first is not None
    assert parsed(obj) is first
    newer = {**obj, "spec": {**obj["spec"], "suspend": True}, "metadata": {**obj["metadata"], "resourceVersion": "2"}}
    second = parsed(newer)
    assert second is not None
    assert second.spec.suspend
    assert parsed({**newer, "spec": {"userId": 3}, "metadata": {**obj["metadata"], "resourceVersion": "3"}}) is None
    # Another object of the same version is another one.
    other = {**newer, "metadata": {**newer["metadata"], "uid": "v", "resourceVersion": "1"}}
    found = parsed(other)
    assert found is not None
    assert found.spec.suspend


def test_no_more_are_kept_than_some() -> None:
    parsed = Parsed(GitHubUser)
    for number in range(KEPT_MODELS + 10):
        obj = raw_user()
        obj["metadata"] |= {"uid": f"u{number}", "resourceVersion": "1"}
        parsed(obj)
    assert len(parsed._kept) == KEPT_MODELS  # noqa: SLF001 - the bound is what is tested
