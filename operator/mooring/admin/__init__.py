"""The small server for health, readiness and metrics, on a port of its own that the internet never sees."""

from mooring.admin.server import AdminServer, CannotListenError

__all__ = ["AdminServer", "CannotListenError"]
