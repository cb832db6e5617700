"""The REST API, laid out like Enterprise Server's: one module a subject, each with its table of routes.

A handler reads the call, checks the permission, changes the world, tells `Events`, and renders with `shapes`. Room is
left for OAuth, App manifests, templates, pull requests and deployments: each is a further module and table.
"""

from aiohttp.typedefs import Middleware

from lab.github.rest import routes
from lab.github.rest.middlewares import all_of

__all__ = ["middlewares", "routes"]


def middlewares(prefix: str = "/api/v3") -> list[Middleware]:
    """Return what goes around every request below `prefix`, outermost first; other requests pass untouched."""
    return all_of(prefix)
