"""How much of everything: what the gateway holds, how long it waits, how often it lets somebody try."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The product's own values; tests have smaller ones, so that none of them waits long."""

    # --- connections ---
    connections: int = 1024
    # A request's line and headers. GitHub's are about one KiB, and proxies add theirs.
    header_bytes: int = 16 * KIB
    # From the beginning of a connection, later from the first byte of a request.
    header_seconds: float = 5.0
    idle_seconds: float = 15.0
    # How long a body that nobody wants is read and thrown away, so that its sender gets to see the answer.
    linger_seconds: float = 2.0
    sweep_seconds: float = 0.25

    # --- bodies ---
    small_body: int = MIB
    # GitHub sends no larger one.
    largest_body: int = 25 * MIB
    small_lane: int = 16 * MIB
    large_lane: int = 52 * MIB
    body_seconds: float = 10.0
    # Bytes a second, on the average since the grace was over.
    least_rate: int = 32 * KIB
    grace_seconds: float = 2.0
    # What a body may be longer on the wire than it is, and a part of the body itself.
    overhead_bytes: int = 64 * KIB
    overhead_part: float = 1 / 8

    # --- answers ---
    # GitHub waits for ten, and the receiver gives up after eight.
    take_seconds: float = 9.0
    # What a 503 says about when to come again.
    retry_seconds: int = 5

    # --- failed signatures of an address ---
    failures_burst: int = 60
    failures_a_second: float = 1.0
    addresses: int = 4096
    # A body of at most that is read and verified whoever sends it: it costs no more than to refuse it.
    always_read: int = 64 * KIB
    # For how long an address is known to carry signed deliveries.
    vouched_seconds: float = 3600.0

    # --- signed deliveries of a namespace, by all that it has a webhook's secret of ---
    owner_burst: int = 6000
    owner_a_second: float = 100.0
    owners: int = 16384
    # From the signature to the answer: a quarter of the connections.
    owner_at_once: int = 256
    # Large bodies, which wait for each other.
    owner_large: int = 1
    # The operator's App speaks for many accounts.
    app_large: int = 4
    app_burst: int = 20_000
    app_a_second: float = 500.0
    app_at_once: int = 768

    # --- and of these, what is about one repository or installation, as the payload says ---
    signed_burst: int = 5000
    signed_a_second: float = 50.0
    subjects: int = 16384
    # Of one sender, being recorded at a time: half of the connections, so that others have theirs.
    at_once: int = 512
