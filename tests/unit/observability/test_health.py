"""Being alive and being ready are two questions, and both are answered in words."""

from mooring.observability.health import Health, Latch


def test_nothing_to_ask_means_yes() -> None:
    assert Health().not_alive() == []
    assert Health().not_ready() == []


def test_what_is_not_ready_lives_on_and_what_is_dead_is_not_ready() -> None:
    health, hangs, caches = Health(), list[str](), Latch("Projects are not listed yet")
    health.must_live("work loop", lambda: next(iter(hangs), None))
    health.must_be_ready("caches", caches)

    assert health.not_alive() == []
    assert health.not_ready() == ["caches: Projects are not listed yet"]
    hangs.append("no turn for 61 s")
    assert health.not_alive() == ["work loop: no turn for 61 s"]
    assert health.not_ready() == ["work loop: no turn for 61 s", "caches: Projects are not listed yet"]
    caches.set()
    assert health.not_ready() == ["work loop: no turn for 61 s"]
    hangs.clear()
    assert health.not_ready() == []
