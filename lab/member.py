"""What the supervisor needs to know of a process to run it. Each is described where it belongs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Member:
    """One process of a lab."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    ready_seconds: float = 30.0  # how long its start may take, on a busy machine with cold disks
    grace_seconds: float = 3.0  # how long its end may take before it is killed
    forks: bool = False  # it starts processes of its own, which must end with it
    environment: Mapping[str, str] = field(default_factory=dict)
