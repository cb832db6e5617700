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
    # Of the 5,000 requests an hour that GitHub gives at least to an installation, one namespace takes 4,000 at most:
    # 2,500 at once and 1,500 more in an hour. It can start 800 Projects with its installation, and never leaves others
    # that use the same one without any.
    installation_burst: int = 2500
    installation_rate: float = 1500 / 3600
    # Of the 5,000 an hour that an App gets, 2,000 at most: 1,000 at once and 1,000 more in an hour. Every token is
    # replaced after half an hour at the soonest, with one look at its installation and one request to make it: that is
    # four an hour for each of 250 outputs, and 500 outputs can be filled at once.
    app_burst: int = 1000
    app_rate: float = 1000 / 3600
    # Requests of one namespace to one host under way at a time: a slow host delays nobody else, and 1,000 questions of
    # 100 ms are done in 7 s. GitHub refuses more than 100 at a time for a credential.
    namespace_in_flight: int = 16

    # --- what one request may take ---
    # Connections to an origin: four busy namespaces side by side.
    connections: int = 64
    # Seconds. Idle connections are kept for the next question, as many as may be busy: a handshake costs more than a
    # question. GitHub itself closes them after about a minute.
    idle_for: float = 30.0
    # Seconds. GitHub ends its own requests after 10.
    connect_timeout: float = 5.0
    read_timeout: float = 12.0
    # Seconds for one request in all, waiting for a connection and a body that drips included.
    total_timeout: float = 25.0
    # Bytes of a body. A comparison with 300 files and their patches stays below; nothing that we ask for is longer.
    body: int = 10 * 1024 * 1024
    # Pages of a list, a hundred entries each. Whoever has a longer list is told so, and not served half of it.
    pages: int = 1000
    page: int = 100
    # Pages of a person's repositories, those that were pushed to last first: what a sweep must find was pushed to since
    # the one before, and few people's 2,000 repositories are. The list of all of a large organisation would take more.
    person_pages: int = 20
    # Pages of an App's deliveries that failed, and of all of a hook's. GitHub keeps them for some days; after an outage
    # the newest are repeated, and the sweep finds what the others would have told.
    failed_pages: int = 10
    attempt_pages: int = 3
    # Repositories that GitHub lets one installation token name.
    token_repositories: int = 500
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
    # A key that GitHub refuses, for all questions with it: a thousand objects that name it make a few requests, and one
    # that its owner adds at GitHub works soon.
    refused_app_for: timedelta = timedelta(seconds=30)
    # An App's list of installations: a new one is found in half a minute, without a list for each who looks.
    installations_for: timedelta = timedelta(seconds=30)
    # Such lists; GitHub's longest have 100,000 entries of 1 KiB, usual ones a few.
    lists: int = 64
    # Keys of Apps that were read already, 10 KiB each: to check one takes 40 ms, and always ends alike.
    keys: int = 1024
    key_for: timedelta = timedelta(hours=12)
    # Characters of a bundle of certificates: the system's own has 250,000.
    bundle: int = 512 * 1024
    # Bundles in use side by side, about 0.8 MiB each with the system's certificates.
    bundles: int = 32
    # Entries in each memory, about 0.5 KiB each; the least recently used goes first, and is asked again.
    remembered: int = 8192

    # --- clocks ---
    # How far GitHub's clock may turn out to be from what a JWT was signed for before it is signed anew.
    clock_slack: timedelta = timedelta(seconds=5)
    # A Date further from our time is a joke.
    farthest_clock: timedelta = timedelta(days=3650)

    # --- how long we stay away ---
    # GitHub asks for a minute at least where it does not name a time.
    secondary_wait: timedelta = timedelta(seconds=60)
    # Its windows last an hour: a time further away is a mistake, ours or theirs.
    longest_wait: timedelta = timedelta(minutes=65)


LIMITS = Limits()
