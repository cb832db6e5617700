"""The web side of the lab's GitHub: tiny pages where GitHub has large ones. Room for sign-in is here."""

from __future__ import annotations

from html import escape

from aiohttp import web

from lab.github.context import CALLER, Caller, Context


class Pages:
    """Answers / and /{owner}/{repository}, as a stranger would see them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/", self.home)
        app.router.add_get("/{owner}/{repository}", self.repository)

    async def home(self, request: web.Request) -> web.Response:
        """Say what this is."""
        request[CALLER] = Caller()
        return _page("Lab GitHub", f"REST API: {self._context.world.addresses.api}")

    async def repository(self, request: web.Request) -> web.Response:
        """Show that a public repository exists; a private one does not, to a stranger."""
        request[CALLER] = Caller()
        owner, name = request.match_info["owner"], request.match_info["repository"].removesuffix(".git")
        world = self._context.world
        found = world.repository(owner, name)
        moved = None if found is not None else world.moved(owner, name)
        if moved is not None and not moved.private:
            raise web.HTTPMovedPermanently(f"{world.addresses.web}/{world.full_name(moved)}")
        if found is None or found.private:
            raise web.HTTPNotFound(text="Not Found\n")
        return _page(world.full_name(found), found.description or "")


def _page(title: str, text: str) -> web.Response:
    body = f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p>"
    return web.Response(text=body, content_type="text/html")
