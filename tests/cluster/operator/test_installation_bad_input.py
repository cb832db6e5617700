"""Whatever people get wrong with an App or an installation becomes a condition with the next step, and few requests.

All of it stands in one namespace at once, beside an installation that has nothing wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mooring.domain.reasons import Reason
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import (
    Account,
    LabApp,
    data_of,
    hint,
    install,
    make_account,
    make_app,
    output,
    put_app,
    put_secret,
    reaches,
    signed_by,
)

KIND = "GitHubInstallation"
READ = {"contents": "read"}
OWN = {"appSecretRef": {"name": "app"}}


@dataclass(frozen=True)
class Case:
    """Something wrong: what is applied, what is said of it, and how it is mended."""

    reason: Reason
    # Words of the next step.
    words: str
    spec: dict[str, Any]
    mend: Callable[[], Any]
    # Requests with the case's own App that it may take, until it is told; where it has one.
    app: LabApp | None = None
    requests: int = 0
    # Outputs that are made all the same.
    made: tuple[str, ...] = field(default=())


@dataclass
class Scene:
    """An App on an account, and what people do with it."""

    people: People
    hub: Hub
    app: LabApp
    account: Account

    def spec(self, *outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return a spec that has nothing wrong but what is given."""
        return {"account": self.account.login, **OWN, "outputs": list(outputs), **more}

    def change(self, name: str, spec: dict[str, Any]) -> Callable[[], Any]:
        """Return a mending by another spec."""
        return lambda: self.people.apply(KIND, name, spec)

    def secrets(self) -> dict[str, Case]:
        """Return what is wrong with an App's Secret."""
        people, hub, good = self.people, self.hub, self.app
        wrong, other = make_app(hub), make_app(hub)

        def by(secret: str) -> dict[str, Any]:
            return self.spec(output(f"of-{secret}", permissions=READ), appSecretRef={"name": secret})

        def put(name: str, **texts: str) -> Callable[[], Any]:
            return lambda: put_secret(people, name, {**good.data(), **texts})

        put("malformed", privateKey="-----BEGIN RSA PRIVATE KEY-----\nnot a key\n-----END RSA PRIVATE KEY-----\n")()
        put("undecodable", privateKey=good.private_key.replace("A", "B"))()
        put("worded", appId="my-app")()
        put_secret(people, "lacking", {"appId": str(good.app_id)})
        put_secret(people, "stranger", {"appId": str(wrong.app_id), "privateKey": good.private_key})
        put_secret(people, "unknown", {"appId": "987654321", "privateKey": other.private_key})
        kind = {"metadata": {"name": "typed"}, "type": "example.com/app", "stringData": good.data()}
        people.create("Secret", kind)

        def retype() -> None:
            people.delete("Secret", "typed")
            put("typed")()

        return {
            "absent": Case(Reason.SECRET_NOT_FOUND, "Create it", by("absent"), put("absent")),
            "malformed": Case(Reason.APP_KEY_MALFORMED, "Store it anew", by("malformed"), put("malformed")),
            "undecodable": Case(
                Reason.APP_KEY_MALFORMED, "as GitHub gives it out", by("undecodable"), put("undecodable")
            ),
            "worded": Case(Reason.APP_KEY_MALFORMED, "in digits", by("worded"), put("worded")),
            "lacking": Case(Reason.SECRET_KEY_MISSING, "Add it", by("lacking"), put("lacking")),
            "typed": Case(Reason.SECRET_TYPE_WRONG, "Opaque", by("typed"), retype),
            "stranger": Case(Reason.APP_REFUSED, "Correct", by("stranger"), put("stranger"), wrong, 1),
            "unknown": Case(Reason.APP_REFUSED, "Correct", by("unknown"), put("unknown")),
        }

    def installations(self) -> dict[str, Case]:
        """Return what is wrong with what is asked for. Each with an App of its own, so that requests are counted."""
        login = self.account.login
        found = {
            "no-account": self._missing("no-account", {"account": "nobody-here"}, 4),
            "no-id": self._missing("no-id", {"installationId": 987654321}, 2),
        }
        wishes: dict[str, tuple[Reason, str, dict[str, Any]]] = {
            "not-there": (Reason.REPOSITORY_NOT_COVERED, "Add it", {"repositories": [f"{login}/nowhere"]}),
            "of-another": (Reason.REPOSITORY_NOT_COVERED, "Correct the name", {"repositories": ["acme/shop"]}),
            "not-had": (Reason.PERMISSION_MISSING, "Grant it at GitHub", {"permissions": {"packages": "read"}}),
        }
        for name, (reason, words, wish) in wishes.items():
            app, ref = self._own_app(name)
            narrow: dict[str, Any] = {"permissions": READ, "repositories": [f"{login}/shop"]}
            wanted = self.spec(output(f"of-{name}", **{**narrow, **wish}), **ref)
            mend = self.change(name, self.spec(output(f"of-{name}", **narrow), **ref))
            # Its own App, the installation, and the token that finds names and counts: none for what is refused.
            found[name] = Case(reason, words, wanted, mend, app, 3)
        return found

    def _missing(self, name: str, spec: dict[str, Any], requests: int) -> Case:
        app, ref = self._own_app(name)

        def mend() -> None:
            self.people.delete(KIND, name)

        return Case(Reason.INSTALLATION_NOT_FOUND, "Install", {**ref, **spec}, mend, app, requests)

    def _own_app(self, name: str) -> tuple[LabApp, dict[str, Any]]:
        app = make_app(self.hub)
        install(self.hub, app, self.account.login)
        put_app(self.people, app, f"app-{name}")
        return app, {"appSecretRef": {"name": f"app-{name}"}}

    def outputs(self) -> dict[str, Case]:
        """Return what is wrong with an output."""
        people, login = self.people, self.account.login
        people.create("Secret", {"metadata": {"name": "taken"}, "stringData": {"mine": "yes"}})
        narrow: dict[str, Any] = {"permissions": READ, "repositories": [f"{login}/shop"]}
        ceiling: dict[str, Any] = {"permissions": {"contents": "read"}, "repositories": [f"{login}/shop"]}
        above = self.spec(output("above", permissions={"contents": "write"}), **ceiling)
        outside = self.spec(output("outside", repositories=[f"{login}/open"]), **ceiling)
        huge = {"format": "Template", "template": "$(token)" * 2000}
        return {
            "above": Case(
                Reason.INVALID_SPEC,
                "Change one of them",
                above,
                self.change("above", self.spec(output("above"), **ceiling)),
            ),
            "outside": Case(
                Reason.INVALID_SPEC,
                "Change one of them",
                outside,
                self.change("outside", self.spec(output("outside"), **ceiling)),
            ),
            "taken": Case(
                Reason.CONFLICT,
                "Delete it",
                self.spec(output("taken", **narrow), output("beside", **narrow)),
                lambda: people.delete("Secret", "taken"),
                made=("beside",),
            ),
            "huge": Case(
                Reason.INVALID_SPEC,
                "Use fewer placeholders",
                self.spec({**output("huge"), **huge}, output("small", **narrow)),
                self.change("huge", self.spec(output("huge", **narrow))),
                made=("small",),
            ),
        }


def test_every_mistake_is_told_and_passes_when_it_is_mended(people: People, hub: Hub) -> None:
    app, account = make_app(hub), make_account(hub, "shop", "open")
    install(hub, app, account.login)
    put_app(people, app)
    scene = Scene(people, hub, app, account)
    people.apply(KIND, "well", scene.spec(output("well", permissions=READ, repositories=[f"{account.login}/shop"])))
    people.until_condition("well", "Ready", "True", "Ready", kind=KIND)
    well = people.get("Secret", "well")
    cases = {**scene.secrets(), **scene.installations(), **scene.outputs()}
    since = hub.mark()
    for name, case in cases.items():
        people.apply(KIND, name, case.spec)
    for name, case in cases.items():
        found = people.until_condition(name, "Stalled", "True", case.reason.value, kind=KIND)
        for type_ in ("Ready", "TokenResolved"):
            told = condition(found, type_)
            assert (told["status"], told["reason"]) == ("False", case.reason.value), name
        assert case.words in condition(found, "Ready")["message"], condition(found, "Ready")["message"]
        outputs = {it["secretName"] for it in case.spec.get("outputs", ())}
        assert {it for it in outputs if is_made(people, it)} == set(case.made), name
        if case.app is not None:
            asked = signed_by(hub, since, case.app)
            # The installation is asked for once more where the watch shows its Secret after a run has read it.
            assert len(asked) <= case.requests + 1, (name, asked)
    assert data_of(people.get("Secret", "taken")) == {"mine": "yes"}
    # What a person must mend is not asked again by itself.
    quiet = hub.mark()
    hint(people, "well")
    people.patch(KIND, "well", {"metadata": {"annotations": {"looked": "at"}}})
    for case in cases.values():
        case.mend()
    for name, case in cases.items():
        if "account" in case.spec and case.spec["account"] == account.login:
            people.until_condition(name, "Ready", "True", "Ready", kind=KIND)
            assert all(is_made(people, it["secretName"]) for it in (people.get(KIND, name) or {})["spec"]["outputs"])
        else:
            people.until(KIND, name, lambda obj: obj is None, "its end")
    assert people.get("Secret", "well") == well
    assert isinstance(reaches(hub, data_of(well)["token"]), list)
    apps = [app, *(case.app for case in cases.values() if case.app is not None)]
    assert sum(len(signed_by(hub, quiet, each)) for each in apps) < 80


def is_made(people: People, name: str) -> bool:
    """Tell whether an output is there."""
    secret = people.get("Secret", name)
    return secret is not None and bool(secret["metadata"].get("ownerReferences"))
