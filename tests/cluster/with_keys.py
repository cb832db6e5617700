"""Mooring with keys of a test for its webhooks, and none of its own. Run in place of `python -m mooring`."""

from __future__ import annotations

import sys
from functools import partial

from mooring import wiring
from mooring.__main__ import main
from mooring.domain.webhooks.keys import KEY_BYTES, Keys

KEYS = Keys(id_key=b"i" * KEY_BYTES, proof_keys=(b"p" * KEY_BYTES,), hook_keys={1: b"h" * KEY_BYTES})

if __name__ == "__main__":
    wiring.Platform = partial(wiring.Platform, webhook_keys=KEYS)  # type: ignore[misc,assignment]
    sys.exit(main())
