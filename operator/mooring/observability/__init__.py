"""What the process says of itself: log lines, the audit record, metrics and the state of its health.

Nothing here decides anything. `configure` is called once, by the command that runs the process.
"""

from mooring.observability.logs import configure

__all__ = ["configure"]
