"""How a checkout ends badly, or does not end yet. The texts are for people: what happened, and what to do next."""

from __future__ import annotations


class BadRequest(ValueError):
    """An argument is wrong; the text says which and why."""


class Failed(Exception):
    """It is over: another attempt would come to the same."""


class Moved(Failed):
    """The server says that the repository is elsewhere."""


class Passing(Exception):
    """It may pass by itself; it is tried again a few times."""


class Denied(Exception):
    """The server refuses the credential, or behaves as if there were no such repository.

    The status is 401, 403 or 404; only the first says that it is the credential's fault.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
