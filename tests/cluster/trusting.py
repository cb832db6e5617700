"""Mooring where the lab's authority is one that everybody trusts. Run in place of `python -m mooring`.

So a host that is not the operator's own is not saved by a certificate that nobody trusts: what it is sent, it can read.
"""

from __future__ import annotations

import os
import sys

import certifi

from mooring.__main__ import main

# Where the authority is.
VARIABLE = "TESTS_PUBLIC_CA"


if __name__ == "__main__":
    certifi.where = lambda: os.environ[VARIABLE]
    sys.exit(main())
