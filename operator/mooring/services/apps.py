"""Which App an installation is asked with, and which installation a spec means: T1 is kept here.

A JWT of an App resolves every installation of that App, so finding one proves nothing. The proof is the App's own key
in the object's namespace, or the administrator's word: a binding in the policy, which counts at every use anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mooring.domain.app_secrets import AppSecret, app_in, app_source, bundle_in
from mooring.domain.errors import Stalled
from mooring.domain.installations import check_account, pick
from mooring.domain.policy import Binding
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import CaBundle, GitHubInstallation
from mooring.ports import App, InstallationFacts, Object, Origin
from mooring.services.platform import Platform


@dataclass(frozen=True, slots=True)
class Lent:
    """An App, and what of it a namespace may use: None for all of it, because the App is its own."""

    app: App
    bindings: tuple[Binding, ...] | None


class Apps:
    """Apps of installations."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def of(self, installation: GitHubInstallation) -> Lent:
        """Return the App that an installation may be asked with. Nothing is asked of GitHub."""
        spec, namespace = installation.spec, str(installation.metadata.namespace)
        if spec.app_secret_ref is None:
            return await self._operators_app(namespace)
        name = spec.app_secret_ref.name
        secret = await self._platform.secrets.get(namespace, name)
        found, source = self._platform.secrets.read_from((namespace, name), secret, _app_and_source)
        origin = await self.origin(installation)
        return Lent(App(origin, found.app_id, found.private_key, source, namespace), None)

    async def _operators_app(self, namespace: str) -> Lent:
        """Lend the operator's App to its own namespace, and to those that the policy names."""
        platform = self._platform
        own = namespace == platform.namespace
        if not own and not any(namespace in binding.namespaces for binding in platform.policy.bindings):
            raise _not_bound()
        secret = await platform.secrets.get(platform.namespace, platform.app_secret)
        if secret is None:
            raise Stalled(
                Reason.APP_NOT_CONFIGURED,
                "The operator has no App of its own. Name one in spec.appSecretRef, or ask the administrator for one.",
            )
        place = (platform.namespace, platform.app_secret)
        found, source = platform.secrets.read_from(place, secret, _app_and_source)
        origin = platform.origin(None)
        app = App(origin, found.app_id, found.private_key, source, platform.namespace)
        if own:
            return Lent(app, None)
        bindings = platform.policy.bindings_of(origin.api_url, found.app_id, namespace)
        if not bindings:
            raise _not_bound()
        return Lent(app, bindings)

    async def origin(self, installation: GitHubInstallation) -> Origin:
        """Return where an installation answers, with the certificates that are trusted there."""
        origin = self._platform.origin(installation.spec.api_url)
        bundle = installation.spec.ca_bundle
        if bundle is None:
            return origin
        return replace(origin, ca=await self._bundle(str(installation.metadata.namespace), bundle))

    async def _bundle(self, namespace: str, bundle: CaBundle) -> str:
        if bundle.secret_ref is not None:
            name, key = bundle.secret_ref.name, bundle.secret_ref.key
            return bundle_in(await self._platform.secrets.get(namespace, name), kind="Secret", name=name, key=key)
        if bundle.config_map_ref is None:
            raise Stalled(Reason.INVALID_SPEC, "spec.caBundle: name a Secret or a ConfigMap.")
        name, key = bundle.config_map_ref.name, bundle.config_map_ref.key
        found = await self._platform.cluster.read("ConfigMap", namespace, name)
        return bundle_in(found, kind="ConfigMap", name=name, key=key)

    async def find(
        self, installation: GitHubInstallation, lent: Lent, status: Mapping[str, Any]
    ) -> tuple[InstallationFacts, Binding | None]:
        """Return the installation that a spec means, as GitHub shows it now, and the binding that lends it."""
        facts = await self._meant(installation, lent, status)
        check_account((status.get("account") or {}).get("id"), facts)
        return facts, self.binding(installation, lent, facts)

    def binding(self, installation: GitHubInstallation, lent: Lent, facts: InstallationFacts) -> Binding | None:
        """Return what lends an installation to the object's namespace by now; None where the App is its own."""
        if lent.bindings is None:
            return None
        namespace = str(installation.metadata.namespace)
        api_url = lent.app.origin.api_url
        found = self._platform.policy.binding(api_url, lent.app.app_id, facts.account_id, namespace)
        if found is None:
            raise _not_bound()
        return found

    async def _meant(
        self, installation: GitHubInstallation, lent: Lent, status: Mapping[str, Any]
    ) -> InstallationFacts:
        github, spec, namespace = self._platform.github, installation.spec, str(installation.metadata.namespace)
        app = lent.app
        if lent.bindings is not None:
            # Picked from the list of all, which is asked for nobody in particular: nothing is asked of GitHub about an
            # account that is not bound.
            accounts = {binding.account_id for binding in lent.bindings}
            listed = await github.installations(app, namespace=app.owner)
            picked = pick(listed, spec, accounts)
            if picked is None:
                raise _not_found()
            return await github.installation(app, picked.id, namespace=namespace)
        if spec.installation_id is not None:
            return await github.installation(app, spec.installation_id, namespace=namespace)
        try:
            return await github.find_installation(
                app, account=spec.account, repository=spec.repository, namespace=namespace
            )
        except Stalled as trouble:
            known = status.get("installationId")
            if trouble.reason is not Reason.INSTALLATION_NOT_FOUND or spec.account is None or not known:
                raise
            # An account that was renamed is found by no name that the spec has; its id, which is compared, stays.
            return await github.installation(app, int(known), namespace=namespace)


def _app_and_source(secret: Object | None, name: str) -> tuple[AppSecret, str]:
    """Read an App, and its name as a source: each run for a Project of it asks for them."""
    return app_in(secret, name), app_source(secret or {})


def _not_bound() -> Stalled:
    return Stalled(
        Reason.APP_NOT_BOUND,
        "The operator's App may not be used in this namespace. Name an App of your own in spec.appSecretRef, or ask the"
        " administrator for a binding of the account to this namespace in the policy.",
    )


def _not_found() -> Stalled:
    return Stalled(
        Reason.INSTALLATION_NOT_FOUND,
        "The operator's App has no such installation that this namespace may use. Install it on the account, correct"
        " the spec, or ask the administrator for a binding of the account.",
    )
