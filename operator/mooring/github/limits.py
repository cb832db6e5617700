"""Every limit of the GitHub adapter: its name, its unit and its reason, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked, kept and waited for."""

    # --- what a namespace may ask (requests) ---
    # A namespace of 1,000 Projects that starts at once asks three questions for each (repository, head, comparison) and
    # one for each token: 3,000 fit, with room for 500 tokens of single Projects.
    namespace_burst: int = 3500
    # Requests a second. 10,800 an hour are ten for each of 1,000 Projects, twice what GitHub gives to one person's
    # tokens (5,000 an hour): whoever has several tokens can use them, and a loop is still cut after some minutes.
    namespace_rate: float = 3.0
    # Without a credential GitHub gives 60 requests an hour to the operator's address, so to all namespaces together:
    # one of them gets at most a third (10 at once and 10 more in an hour).
    anonymous_burst: int = 10
    anonymous_rate: float = 10 / 3600
    # Requests of one namespace to one host under way at a time: a slow host delays nobody else, and 1,000 questions of
    # 100 ms are done in 7 s. GitHub refuses more than 100 at a time for a credential.
    namespace_in_flight: int = 16

    # --- what one request may take ---
    # Connections to an origin: four busy namespaces side by side.
    connections: int = 64
    # Idle connections are kept for the next question; GitHub itself closes them after about a minute.
    idle_connections: int = 16
    idle_for: float = 30.0
    # Seconds. GitHub ends its own requests after 10.
    connect_timeout: float = 5.0
    read_timeout: float = 12.0
    # Seconds for one request in all, waiting for a connection and a body that drips included.
    total_timeout: float = 25.0
    # Bytes of a body. A comparison with 300 files and their patches stays below; nothing that we ask for is longer.
    body: int = 10 * 1024 * 1024
    # Redirects that are followed: a repository that was renamed or transferred takes one.
    redirects: int = 1

    # --- what is remembered ---
    # A token's identity. Shorter than the default sweep (10 min), so that each sweep finds a revoked token.
    identity_for: timedelta = timedelta(minutes=5)
    # A refused token: a revoked one stays so, and a new one has another fingerprint. Long enough for a thousand
    # Projects that ask one after the other, short enough for the day when GitHub itself is wrong.
    invalid_token_for: timedelta = timedelta(seconds=10)
    # When a token ends: a dead one is told from a revoked one for as long as its owner may be away.
    end_for: timedelta = timedelta(days=400)
    # A repository that is not there: short, for the person who has just made it or widened the token.
    missing_repository_for: timedelta = timedelta(seconds=2)
    # Entries in each memory, about 0.5 KiB each; the least recently used goes first, and is asked again.
    remembered: int = 8192

    # --- how long we stay away ---
    # GitHub asks for a minute at least where it does not name a time.
    secondary_wait: timedelta = timedelta(seconds=60)
    # Its windows last an hour: a time further away is a mistake, ours or theirs.
    longest_wait: timedelta = timedelta(minutes=65)


LIMITS = Limits()
