"""The audit record: one line of JSON on standard output for everything that is done with a credential.

A line has `ts`, `level`, `logger` (always `mooring.audit`), `message` (a sentence), `action`, `object {kind, namespace,
name}`, and the facts that `domain.audit` lists. What may be recorded is said there; here it is only written down.
"""

import logging
from typing import Any

from mooring.domain.audit import FACTS, Action
from mooring.observability.logs import AUDIT, Later, LineHandler, about

log = logging.getLogger(__name__)

_SENTENCES = {action.value: action.sentence for action in Action}


class AuditLog:
    """Implements `ports.Audit` over the logger that `logs.configure` set up."""

    def __init__(self, later: Later | None = None) -> None:
        """Take what calls back at the end of a turn of the event loop, where its lines are to go out together."""
        self._lines = logging.getLogger(AUDIT)
        self._later = later

    def record(self, action: str, *, kind: str, namespace: str, name: str, **facts: str | int | None) -> None:
        """Write one line; facts that are None are left out.

        A fact that is not on the list is dropped and reported: it might be a value, and the record itself must not be
        lost for it.
        """
        known: dict[str, Any] = {"action": str(action)}
        for fact, value in facts.items():
            if fact not in FACTS:
                log.error(
                    "the audit record knows no fact %s: it was left out", fact, extra=about(kind, namespace, name)
                )
            elif value is not None:
                known[fact] = value
        sentence = _SENTENCES.get(action, "An action that the reference does not know.")
        subject = {"kind": kind, "namespace": namespace, "name": name}
        for handler in self._lines.handlers:
            if isinstance(handler, LineHandler):
                handler.write_fields(AUDIT, sentence, subject, known, later=self._later)
