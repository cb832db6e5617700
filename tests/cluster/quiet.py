"""Mooring that looks at nothing by itself: no sweep, and no look at a branch some seconds after a proof.

So what GitHub is asked in a test is what that test led to. Run in place of `python -m mooring`.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from mooring.__main__ import main
from mooring.domain import redeploys, sweeping

# Longer than any test.
LATER = timedelta(days=1)


if __name__ == "__main__":
    redeploys.SECOND_LOOK = LATER
    redeploys.LAST_LOOK = LATER
    sweeping.GATHERING = LATER
    sys.exit(main())
