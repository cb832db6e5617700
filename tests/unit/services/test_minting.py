"""What is known of an installation's tokens: nothing of another's, nothing forgotten that may still live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mooring.domain.installations import MintedToken
from mooring.domain.scopes import TokenKey
from mooring.services import minting as module
from mooring.services.minting import Minting
from tests.unit.objects import NOW
from tests.unit.services.platforms import platform


def key(uid: str, namespace: str = "team-a") -> TokenKey:
    return TokenKey("https://api.github.com", f"{uid}/app", 7, None, None, namespace)


def token(name: str, hours: int = 1) -> MintedToken:
    return MintedToken(name, NOW, NOW + timedelta(hours=hours), {}, None)


def test_each_installation_has_its_own_and_what_was_replaced_is_known() -> None:
    minting = Minting(platform())
    minting.adopt(key("one"), token("first"))
    minting.adopt(key("one"), token("second", 2))
    minting.adopt(key("two"), token("other"))
    assert minting.of("one") == {"first", "second"}
    assert minting.of("two") == {"other"}
    minting.forget("second")
    assert minting.of("one") == {"first"}
    minting.forget_all("one")
    assert minting.of("one") == set()
    assert minting.of("two") == {"other"}


def test_of_a_namespace_without_a_grant_the_replaced_one_ends_too() -> None:
    minting = Minting(platform())
    minting.adopt(key("one"), token("own"))
    minting.adopt(key("one", "team-b"), token("before"))
    minting.adopt(key("one", "team-b"), token("now", 2))
    assert minting.outside("one", {"team-a"}) == {"before", "now"}
    assert minting.outside("one", {"team-a", "team-b"}) == set()


def test_no_more_is_kept_than_is_allowed(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "KEPT_TOKENS", 3)
    minting = Minting(platform())
    for number in range(10):
        minting.adopt(key(f"uid-{number}"), token(f"token-{number}"))
    assert [minting.of(f"uid-{number}") for number in (6, 7, 9)] == [set(), {"token-7"}, {"token-9"}]
    assert len(minting._keys) == 3  # noqa: SLF001 - what must stay small is seen nowhere else
