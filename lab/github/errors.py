"""The errors that GitHub answers, in GitHub's words and shapes. Nothing here decides when to raise one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

DOCUMENTATION = "https://docs.github.com/enterprise-server@3.19/rest"
RATE_LIMITS = f"{DOCUMENTATION}/using-the-rest-api/rate-limits-for-the-rest-api"
SECONDARY_LIMITS = f"{RATE_LIMITS}#about-secondary-rate-limits"


class ApiError(Exception):
    """An answer other than success. Raise it anywhere below the error middleware."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Any] | None = None,
        documentation: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.documentation = documentation
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def response(self, documentation: str = DOCUMENTATION) -> web.Response:
        """Return the answer; `documentation` is the operation's page, used when the error names none."""
        body: dict[str, Any] = {"message": self.message, **self.extra}
        if self.errors is not None:
            body["errors"] = list(self.errors)
        body["documentation_url"] = self.documentation or documentation
        body["status"] = str(self.status)
        return web.json_response(body, status=self.status, headers=self.headers)


def not_found(message: str = "Not Found") -> ApiError:
    """Return the answer for what is not there, and for what the caller may not see."""
    return ApiError(404, message)


def bad_credentials() -> ApiError:
    """Return the answer to an unknown, expired or revoked token."""
    return ApiError(401, "Bad credentials", documentation=DOCUMENTATION)


def requires_authentication() -> ApiError:
    """Return the answer to a stranger where somebody is needed."""
    return ApiError(401, "Requires authentication")


def not_a_jwt() -> ApiError:
    """Return the answer to anything but a valid App JWT on an App's own endpoints."""
    return ApiError(401, "A JSON web token could not be decoded", documentation=DOCUMENTATION)


def suspended() -> ApiError:
    """Return the answer to a token of a suspended installation."""
    return ApiError(403, "This installation has been suspended")


def invalid(resource: str, field: str, code: str, message: str | None = None) -> ApiError:
    """Return the answer to input that is well-formed but wrong in one field."""
    entry = {"resource": resource, "code": code, "field": field}
    if message is not None:
        entry["message"] = message
    return ApiError(422, "Validation Failed", errors=[entry])


def malformed(reason: str) -> ApiError:
    """Return the answer to a body that does not fit the operation's schema."""
    return ApiError(422, f"Invalid request.\n\n{reason}")


def not_supplied(field: str) -> ApiError:
    """Return the answer to a body that lacks a required field."""
    return malformed(f'"{field}" wasn\'t supplied.')
