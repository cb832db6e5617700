"""From the bytes of a verified body to what it says, without holding the event loop for long.

Of a large one there is no more then than the little that is used.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from mooring.domain.webhooks import parsing, scanning
from mooring.gateway.limits import MIB

# To parse that much takes less than twenty milliseconds.
AT_ONCE = MIB // 4


async def payload_of(body: bytes | bytearray) -> Mapping[str, Any]:
    """Return what a body says; raise BadPayload. Others are served while a large one is gone through."""
    if len(body) <= AT_ONCE:
        return parsing.parse(bytes(body))
    steps = scanning.reduction(body)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Mapping[str, Any] = done.value
            return found
        await asyncio.sleep(0)


def subject(payload: Mapping[str, Any]) -> str | None:
    """Name the repository or installation that a payload is about, for limits; None where it names none."""
    for kind in ("repository", "installation"):
        found = payload.get(kind)
        number = found.get("id") if isinstance(found, dict) else None
        if isinstance(number, int) and not isinstance(number, bool):
            return f"{kind}/{number}"
    return None
