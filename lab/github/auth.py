"""Who a request comes from: App JWTs and tokens, checked as GitHub checks them. Their rights are in `permissions`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import jwt

from lab.github import errors, permissions
from lab.github.context import Caller, Context
from lab.github.errors import ApiError
from lab.github.model import Account, App, Credential, Repository

# GitHub takes no JWT that lives longer, whatever its issue time says.
JWT_SECONDS = 600
TOKEN_PREFIXES = ("ghp_", "gho_", "ghu_", "ghs_", "github_pat_")


def resolve(ctx: Context, authorization: str | None) -> Caller:
    """Return the caller that an Authorization header names; raises what GitHub answers when it names nobody."""
    if authorization is None:
        return Caller()
    value = _secret(authorization)
    if value is None:
        raise errors.bad_credentials()
    if value.count(".") == 2 and not value.startswith(TOKEN_PREFIXES):
        if not authorization.strip().casefold().startswith("bearer "):
            # Tokens may come under other schemes too, JWTs may not.
            raise errors.bad_credentials()
        return Caller(app=app_of_jwt(ctx, value))
    credential = ctx.world.credential(value)
    if credential is None or not is_live(ctx, credential):
        raise errors.bad_credentials()
    return _caller(ctx, credential)


def is_live(ctx: Context, credential: Credential) -> bool:
    """Tell whether a token has neither expired nor been revoked."""
    expired = credential.expires_at is not None and credential.expires_at <= ctx.world.clock.now()
    return credential.revoked_at is None and not expired


def may_read(ctx: Context, caller: Caller, repository: Repository) -> bool:
    """Tell whether a caller may fetch from a repository."""
    return permissions.allows(ctx, caller, repository, "contents", "read")


def may_write(ctx: Context, caller: Caller, repository: Repository) -> bool:
    """Tell whether a caller may push to a repository."""
    return not repository.archived and permissions.allows(ctx, caller, repository, "contents", "write")


def bot(ctx: Context, app: App) -> Account:
    """Return the account under which an App's installations act."""
    if app.bot_id is None:
        number = ctx.world.new_id()
        account = Account(id=number, login=f"{app.slug}[bot]", type="Bot", created_at=app.created_at, name=app.name)
        app.bot_id = ctx.world.add_account(account).id
    return ctx.world.accounts[app.bot_id]


def _secret(authorization: str) -> str | None:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() in {"token", "bearer"}:
        return value.strip() or None
    if scheme.lower() == "basic":
        return _basic_secret(value.strip())
    return None


def _basic_secret(value: str) -> str | None:
    """Return the token of a user name and password: usually the password, but GitHub also takes it as user name."""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if user.startswith(TOKEN_PREFIXES) and password in {"", "x-oauth-basic"}:
        return user
    return password or None


def _caller(ctx: Context, credential: Credential) -> Caller:
    if credential.kind == "installation":
        return _installation_caller(ctx, credential)
    account = ctx.world.accounts.get(credential.user_id or 0)
    if account is None:
        raise errors.bad_credentials()
    app = ctx.world.apps.get(credential.app_id or 0)
    return Caller(credential=credential, account=account, app=app)


def _installation_caller(ctx: Context, credential: Credential) -> Caller:
    installation = ctx.world.installations.get(credential.installation_id or 0)
    if installation is None:
        raise errors.bad_credentials()
    if installation.suspended_at is not None:
        raise errors.suspended()
    app = ctx.world.apps[installation.app_id]
    return Caller(credential=credential, account=bot(ctx, app), installation=installation, app=app)


# App JWTs


def app_of_jwt(ctx: Context, token: str) -> App:
    """Return the App whose key signed a JWT, after every check that GitHub makes."""
    claims = _unverified(token)
    app = _issuer(ctx, claims)
    if not any(_signed_by(key, token) for key in app.public_keys):
        raise errors.not_a_jwt()
    _check_times(claims, ctx.world.clock.now().timestamp())
    return app


def _unverified(token: str) -> Mapping[str, Any]:
    try:
        if jwt.get_unverified_header(token).get("alg") != "RS256":
            raise errors.not_a_jwt()
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise errors.not_a_jwt() from error
    return claims


def _signed_by(key: str, token: str) -> bool:
    # The signature alone: the claims are checked apart, against the lab's own clock and with GitHub's words.
    try:
        jwt.PyJWS().decode(token, key, algorithms=["RS256"])
    except jwt.PyJWTError:
        return False
    return True


def _issuer(ctx: Context, claims: Mapping[str, Any]) -> App:
    issuer = claims.get("iss")
    if isinstance(issuer, bool) or not isinstance(issuer, int | str):
        raise ApiError(401, "'Issuer' claim ('iss') must be an Integer", documentation=errors.DOCUMENTATION)
    for app in ctx.world.apps.values():
        if str(issuer) in {str(app.id), app.client_id}:
            return app
    raise ApiError(404, "Integration not found", documentation=errors.DOCUMENTATION)


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not _is_number(issued) or float(issued or 0) > now:
        raise _bad_time(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        )
    if not _is_number(expires) or float(expires or 0) <= now:
        raise _bad_time(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the"
            " assertion expires"
        )
    if float(expires or 0) > now + JWT_SECONDS:
        raise _bad_time("'Expiration time' claim ('exp') is too far in the future")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bad_time(message: str) -> ApiError:
    return ApiError(401, message, documentation=errors.DOCUMENTATION)
