"""Turns a spec that cannot be read into one sentence for its author. Values are left out: one may be a secret."""

from __future__ import annotations

from pydantic import ValidationError

from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason

# Problems that are named in one message; more would not be read.
NAMED_PROBLEMS = 5


def invalid_spec(error: ValidationError) -> Stalled:
    """Return the trouble, naming each field and what it wants."""
    problems = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'object'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    shown = "; ".join(problems[:NAMED_PROBLEMS])
    more = len(problems) - NAMED_PROBLEMS
    tail = f"; and {more} more" if more > 0 else ""
    return Stalled(Reason.INVALID_SPEC, f"The spec cannot be used. {shown}{tail}. Correct it and apply it again.")
