"""Mooring with keys of a test for its webhooks, and none of its own. Run in place of `python -m mooring`."""

from __future__ import annotations

import sys
from functools import partial

from mooring import wiring
from mooring.__main__ import main
from mooring.domain.webhooks.keys import KEY_BYTES, Keys
from mooring.services.platform import Platform

KEYS = Keys(id_key=b"i" * KEY_BYTES, proof_keys=(b"p" * KEY_BYTES,), hook_keys={1: b"h" * KEY_BYTES})

if __name__ == "__main__":
    vars(wiring)["Platform"] = partial(Platform, webhook_keys=KEYS)
    sys.exit(main())
