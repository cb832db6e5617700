"""The Secrets that a GitHubInstallation's owner asked for: each with a token as wide as it says, and fresh.

What a Secret remembers in its annotations is compared with what is asked for now, so that a restart neither mints nor
writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime

from mooring.domain.errors import Stalled, Trouble
from mooring.domain.fingerprints import fingerprint
from mooring.domain.freshness import Freshness, state, token_annotations
from mooring.domain.names import label_value
from mooring.domain.origins import host_of
from mooring.domain.outputs import check_output, output_secret, registry_of, token_in_output
from mooring.domain.ownership import is_owned
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation, OutputFormat, TokenOutput
from mooring.domain.scopes import Scope, TokenKey, output_scope
from mooring.ports import MintedToken, Object
from mooring.services.lending import Found
from mooring.services.minting import Minting, key_for, seed
from mooring.services.platform import Platform
from mooring.services.scoping import Scoping, not_covered
from mooring.services.store import Key
from mooring.services.token_secrets import Tended, TokenSecrets, digest_of, ends_tokens, foreign, is_dead, is_overdue

_READABLE = (
    OutputFormat.TOKEN,
    OutputFormat.BASIC_AUTH,
    OutputFormat.NETRC,
    OutputFormat.GIT_CREDENTIALS,
    OutputFormat.DOCKER_CONFIG_JSON,
)


class Outputs:
    """Output Secrets."""

    def __init__(self, platform: Platform, minting: Minting, scoping: Scoping) -> None:
        self._platform = platform
        self._minting = minting
        self._scoping = scoping
        self._secrets = TokenSecrets(platform)
        # As of when the installation was last read, the repositories of a token were compared with what it covers.
        self._compared: dict[tuple[str, str], datetime] = {}

    async def tend(self, found: Found, tended: Tended) -> None:
        """Make every output what it should be, and remove what is no output any more."""
        outputs = found.installation.spec.outputs
        await self._remove_others(found.installation, {output.secret_name for output in outputs}, tended)
        rounds = (self._tend_one(found, output, tended) for output in outputs)
        # Each is finished, also where another one found that things have changed.
        for came in await asyncio.gather(*rounds, return_exceptions=True):
            if isinstance(came, BaseException):
                raise came

    async def withdraw(self, installation: GitHubInstallation, tended: Tended) -> None:
        """Remove them all."""
        await self._remove_others(installation, set(), tended)

    async def tokens(self, installation: GitHubInstallation) -> set[str]:
        """Return the tokens in all of them."""
        found = {_any_token(live) for _, live in await self._ours(installation)}
        return {token for token in found if token is not None}

    async def drop_ended(self, installation: GitHubInstallation, now: datetime, tended: Tended) -> None:
        """While no new token can be had: remove those that have ended, and say when the next one ends."""
        lives = [live for _, live in await self._ours(installation)]
        await self._secrets.remove_ended(_key(installation), lives, now, _any_token, tended)

    # One output

    async def _tend_one(self, found: Found, output: TokenOutput, tended: Tended) -> None:
        place = (found.key.namespace, output.secret_name)
        secrets = self._platform.secrets
        # Read before a token is made, so that none is for a Secret that is somebody else's; not where there is none.
        live = await secrets.get(*place) if secrets.is_taken(*place) else None
        if live is not None and not is_owned(live, found.uid):
            tended.troubles.append(foreign(output.secret_name))
            return
        token: MintedToken | None = None
        try:
            token, key = await self._token(found, output, live)
            before = self._before(found, output, live)
            await self._secrets.keep(found, self._manifest(found, output, token), live, token)
        except Trouble as trouble:
            tended.troubles.append(trouble)
            if live is None and token is not None and trouble.reason is Reason.CONFLICT:
                # Made before it was seen that the name is taken: nobody is given it.
                tended.dropped.add(token.token)
            elif live is not None and isinstance(trouble, Stalled) and ends_tokens(trouble):
                await self._secrets.remove(found.key, live, _any_token, tended)
            elif live is not None:
                token_now = _any_token(live)
                tended.keep_for_now(self._secrets.told_of(live, token_now), token_now, overdue=is_overdue(trouble))
            return
        if before is not None and before != token.token:
            tended.dropped.add(before)
        tended.note(token, key)

    async def _token(self, found: Found, output: TokenOutput, live: Object | None) -> tuple[MintedToken, TokenKey]:
        """Return the token that an output should hold: the one that is there, as long as it fits and is fresh."""
        check_output(output)
        scope = output_scope(found.installation.spec, output, found.binding, found.facts)
        held = self._held(found, output, scope, live)
        if held is not None:
            token, key = held
            try:
                await self._compare(found, output, scope, token)
            except Stalled as trouble:
                if not is_dead(trouble):
                    raise
                # Somebody ended it. That is no reason to be without one.
                self._minting.forget(token.token)
            else:
                self._minting.adopt(key, token)
                return token, key
        key = key_for(found, scope, await self._scoping.ids(found, scope.repositories), found.key.namespace)
        try:
            return await self._minting.get(found, key, "output"), key
        except Stalled as trouble:
            if trouble.reason is not Reason.SCOPE_REFUSED:
                raise
            raise await self._scoping.explain(found, scope.repositories, trouble) from None

    def _held(
        self, found: Found, output: TokenOutput, scope: Scope, live: Object | None
    ) -> tuple[MintedToken, TokenKey] | None:
        """Read back what a Secret of ours holds; None where it is not what is asked for now, or not fresh."""
        if live is None:
            return None
        value = token_in_output(output, live)
        told = self._secrets.told_of(live, value)
        if told is None or value is None or told.digest != digest_of(found, scope):
            return None
        if fingerprint(found.uid, value) != told.fingerprint:
            return None
        token = MintedToken(value, told.issued_at, told.expires_at, dict(scope.permissions or {}), told.repository_ids)
        key = key_for(found, scope, told.repository_ids, found.key.namespace)
        now = self._platform.github.time_at(found.app.origin)
        fresh = state(told.issued_at, told.expires_at, seed(key), now) is Freshness.FRESH
        return (token, key) if fresh else None

    async def _compare(self, found: Found, output: TokenOutput, scope: Scope, token: MintedToken) -> None:
        """Ask what a narrowed token reaches by now: GitHub takes away what the installation does not cover any more."""
        place = (found.key.namespace, output.secret_name)
        if token.repository_ids is None or self._compared.get(place) == found.read_at:
            return
        reached = await self._platform.github.covered(found.app.origin, token.token, namespace=found.key.namespace)
        if missing := token.repository_ids - reached.keys():
            shown = {full_name.casefold() for full_name in reached.values()}
            named = [name for name in scope.repositories or () if name.casefold() not in shown]
            lost = not_covered(found, named or [f"the repository with the id {number}" for number in missing])
            raise await self._scoping.explain(found, scope.repositories, lost)
        self._compared[place] = found.read_at

    def _manifest(self, found: Found, output: TokenOutput, token: MintedToken) -> Object:
        web = found.app.origin.web_url
        scope = output_scope(found.installation.spec, output, found.binding, found.facts)
        return output_secret(
            found.installation,
            output,
            token.token,
            host=str(host_of(web)),
            registry=registry_of(web),
            expires_at=token.expires_at,
            annotations=token_annotations(
                token, digest=digest_of(found, scope), fingerprint=fingerprint(found.uid, token.token)
            ),
        )

    def _before(self, found: Found, output: TokenOutput, live: Object | None) -> str | None:
        """Return the token from before where something else is asked for now: it may do what the new one may not."""
        scope = output_scope(found.installation.spec, output, found.binding, found.facts)
        read = _any_token(live) if live is not None else None
        token, told = self._secrets.before((found.key.namespace, output.secret_name), live, read)
        return token if told is not None and told.digest != digest_of(found, scope) else None

    # Removing

    async def _remove_others(self, installation: GitHubInstallation, wanted: Iterable[str], tended: Tended) -> None:
        for _, live in await self._ours(installation, but=frozenset(wanted)):
            await self._secrets.remove(_key(installation), live, _any_token, tended)

    async def _ours(
        self, installation: GitHubInstallation, *, but: AbstractSet[str] = frozenset()
    ) -> list[tuple[tuple[str, str], Object]]:
        """Return the Secrets that this very object owns, of all that watches have shown under its label."""
        metadata = installation.metadata
        group = f"{metadata.namespace}/{label_value(metadata.name)}"
        named = {(str(metadata.namespace), output.secret_name) for output in installation.spec.outputs}
        places = sorted(it for it in self._platform.token_secrets.get(group, set()) | named if it[1] not in but)
        found = [(place, await self._platform.secrets.get(*place)) for place in places]
        return [(place, live) for place, live in found if live is not None and is_owned(live, str(metadata.uid))]


def _key(installation: GitHubInstallation) -> Key:
    return Key("GitHubInstallation", str(installation.metadata.namespace), installation.metadata.name)


def _any_token(secret: Object) -> str | None:
    """Read the token of a Secret whose output is not known any more."""
    for form in _READABLE:
        token = token_in_output(TokenOutput(secret_name=secret["metadata"]["name"], format=form), secret)
        if token is not None:
            return token
    return None
