"""Being alive and being ready are two questions, and both are answered in words."""

from mooring.observability.health import Health, Heartbeat, Latch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_to_ask_means_yes() -> None:
    assert Health().not_alive() == []
    assert Health().not_ready() == []


def test_a_heartbeat_may_pause_for_so_long_and_no_longer() -> None:
    clock = Clock()
    beat = Heartbeat("turn", within=60, clock=clock)

    clock.now += 60
    assert beat() is None
    clock.now += 1
    assert beat() == "no turn for 61 s"
    beat.beat()
    assert beat() is None


def test_a_heartbeat_may_be_awaited_for_the_first_time() -> None:
    beat = Heartbeat("answer", within=60, clock=Clock(), started=False)

    assert beat() == "no answer yet"
    beat.beat()
    assert beat() is None


def test_what_is_not_ready_lives_on_and_what_is_dead_is_not_ready() -> None:
    clock = Clock()
    health = Health()
    loop, caches = Heartbeat("turn", within=60, clock=clock), Latch("Projects are not listed yet")
    health.must_live("work loop", loop)
    health.must_be_ready("caches", caches)

    assert health.not_alive() == []
    assert health.not_ready() == ["caches: Projects are not listed yet"]
    caches.set()
    assert health.not_ready() == []
    clock.now += 61
    assert health.not_alive() == ["work loop: no turn for 61 s"]
    assert health.not_ready() == ["work loop: no turn for 61 s"]
    caches.clear()
    assert len(health.not_ready()) == 2
