"""The small server for health, readiness and metrics, on a port of its own that the internet never sees."""

from mooring.admin.server import AdminServer

__all__ = ["AdminServer"]
