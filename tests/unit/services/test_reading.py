"""Each version of an object is read once, whoever asks."""

from __future__ import annotations

from mooring.domain.resources.github_user import GitHubUser
from mooring.services.reading import KEPT_MODELS, Reading
from tests.unit.objects import raw_user


def test_a_version_is_read_once_and_another_one_anew() -> None:
    reading, obj = Reading(GitHubUser), raw_user()
    obj["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    first = reading(obj)
    assert first is not None
    assert reading(obj) is first
    newer = {**obj, "spec": {**obj["spec"], "suspend": True}, "metadata": {**obj["metadata"], "resourceVersion": "2"}}
    second = reading(newer)
    assert second is not None
    assert second.spec.suspend
    assert reading({**newer, "spec": {"userId": 3}, "metadata": {**obj["metadata"], "resourceVersion": "3"}}) is None
    # Another object of the same version is another one.
    other = {**newer, "metadata": {**newer["metadata"], "uid": "v", "resourceVersion": "1"}}
    found = reading(other)
    assert found is not None
    assert found.spec.suspend


def test_no_more_are_kept_than_some() -> None:
    reading = Reading(GitHubUser)
    for number in range(KEPT_MODELS + 10):
        obj = raw_user()
        obj["metadata"] |= {"uid": f"u{number}", "resourceVersion": "1"}
        reading(obj)
    assert len(reading._kept) == KEPT_MODELS  # noqa: SLF001 - the bound is what is tested
