"""The control API: how tests, the demo and benchmarks arrange the lab's GitHub. It is documented in the README here.

It has its own port on loopback and its own bearer token, and is never part of what GitHub itself offers.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Annotated, Any

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from lab.github import seed
from lab.github.context import Context
from lab.github.control_http import Handler, body, errors_as_sentences, number, parsed, refusal
from lab.github.deliveries import Deliverer
from lab.github.faults import Faults, Spec
from lab.github.gitstore import GitStore
from lab.github.journal import Journal
from lab.github.limits import Limits
from lab.github.model import Credential, Delivery, Installation, Repository
from lab.github.owner import Accept, Edit, Install, Owner, PushRequest, Rename, RenameAccount, Request, Select, Transfer
from lab.github.seed import ConflictError, MissingError
from lab.github.seed_document import Document, WebhookSeed
from lab.github.tags import Tags

BODY_LIMIT = 64 * 2**20
PAGE = 1000

_FAULTS: TypeAdapter[list[Spec]] = TypeAdapter(list[Spec])
_FAULT: TypeAdapter[Spec] = TypeAdapter(Spec)
_LIMITS: TypeAdapter[Limits] = TypeAdapter(Limits)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClockChange(_Body):
    """One of: move by seconds, set to a time, follow the machine's again."""

    advance: float | None = None
    set: AwareDatetime | None = None
    reset: bool = False

    @model_validator(mode="after")
    def _is_one(self) -> ClockChange:
        if (self.advance is not None) + (self.set is not None) + self.reset != 1:
            raise ValueError("give exactly one of advance, set, reset")
        return self


class Delay(_Body):
    """When to send a delivery that waits."""

    seconds: Annotated[float, Field(ge=0, le=86400)] = 0


class TokenLifetime(_Body):
    """How long installation tokens live that are made from now on."""

    seconds: Annotated[int, Field(ge=1, le=86400)]


class NewKey(_Body):
    """Whether the App's other keys go."""

    replace: bool = False


class Control:
    """The handlers."""

    def __init__(
        self,
        context: Context,
        store: GitStore,
        faults: Faults,
        journal: Journal,
        deliverer: Deliverer,
        *,
        tags: Tags,
        token: str,
    ) -> None:
        self._context = context
        self._world = context.world
        self._store = store
        self._faults = faults
        self._journal = journal
        self._tags = tags
        self._deliverer = deliverer
        self._owner = Owner(context, store)
        self._token = token

    def app(self) -> web.Application:
        """Return the application of the control port."""
        app = web.Application(middlewares=[self._only_with_token, errors_as_sentences], client_max_size=BODY_LIMIT)
        app.add_routes(
            [
                web.get("/healthz", self.healthz),
                web.post("/seed", self.seed),
                web.post("/reset", self.reset),
                web.get("/violations", self.violations),
                web.get("/journal", self.journal),
                web.get("/tags", self.tags),
                web.post("/tags/find", self.find),
                web.get("/clock", self.clock),
                web.post("/clock", self.set_clock),
                web.get("/faults", self.faults),
                web.post("/faults", self.set_faults),
                web.delete("/faults", self.clear_faults),
                web.delete(r"/faults/{number:\d+}", self.clear_fault),
                web.get("/limits", self.limits),
                web.post("/limits", self.set_limits),
                web.get("/token-lifetime", self.token_lifetime),
                web.post("/token-lifetime", self.set_token_lifetime),
                web.get("/deliveries", self.deliveries),
                web.get("/deliveries/{guid}", self.delivery),
                web.post("/deliveries/{guid}/{action:replay|redeliver|drop|delay}", self.act_on_delivery),
                web.post("/push", self.push),
                web.post("/installations", self.install),
                web.post(
                    r"/installations/{number:\d+}/{action:suspend|unsuspend|delete|permissions|repositories}",
                    self.act_on_installation,
                ),
                web.post(r"/repositories/{number:\d+}/{action}", self.act_on_repository),
                web.post(r"/accounts/{number:\d+}/{action:rename|delete}", self.act_on_account),
                web.post("/apps/{slug}/webhook", self.set_webhook),
                web.post("/apps/{slug}/keys", self.new_key),
                web.post("/tokens/{name}/{action:revoke|expire}", self.act_on_token),
            ]
        )
        return app

    @web.middleware
    async def _only_with_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        known = scheme.casefold() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode())
        if not known and request.path != "/healthz":
            return refusal(401, "send the control token: Authorization: Bearer <LAB_ADMIN_TOKEN>")
        return await handler(request)

    # The world

    async def healthz(self, _: web.Request) -> web.Response:
        """Say that the server runs."""
        return web.json_response({"status": "ok", **self._where()})

    def _where(self) -> dict[str, str]:
        addresses = self._world.addresses
        return {"api_url": addresses.api, "git_url": addresses.web}

    async def seed(self, request: web.Request) -> web.Response:
        """Make what a document asks for."""
        return web.json_response(await seed.apply(self._context, self._store, await body(request, Document)))

    async def reset(self, _: web.Request) -> web.Response:
        """Forget everything; tells the contract violations that there were."""
        found = list(self._context.violations)
        await self._deliverer.clear()
        self._world.clear()
        await self._store.clear()
        self._faults.clear()
        self._journal.clear()
        self._context.quotas.reset()
        self._context.violations.clear()
        return web.json_response({"violations": found})

    async def violations(self, _: web.Request) -> web.Response:
        """Tell where the lab broke GitHub's own descriptions."""
        return web.json_response({"violations": self._context.violations})

    async def journal(self, request: web.Request) -> web.Response:
        """Tell the requests after a number."""
        since, limit = number(request, "since", 0), min(number(request, "limit", PAGE), PAGE)
        entries = self._journal.since(since, limit)
        last = entries[-1].number if entries else max(since, self._journal.last if limit else since)
        told = [self._journal.told(entry) for entry in entries]
        return web.json_response({"entries": told, "next": last, "last": self._journal.last})

    async def tags(self, request: web.Request) -> web.Response:
        """Tell what each credential is for, and which requests came with one that is for something else."""
        return web.json_response(self._tags.told(number(request, "since", 0)))

    async def find(self, request: web.Request) -> web.Response:
        """Tell which credentials stand in the body, as it came from somewhere, by their public ids."""
        found = self._tags.found_in(await request.read())
        return web.json_response({"found": [{"credential": one.credential, "form": one.form} for one in found]})

    async def clock(self, _: web.Request) -> web.Response:
        """Tell the lab's time."""
        clock = self._world.clock
        return web.json_response({"now": clock.now().isoformat(), "offset": clock.offset.total_seconds()})

    async def set_clock(self, request: web.Request) -> web.Response:
        """Move the lab's clock."""
        change, clock = await body(request, ClockChange), self._world.clock
        if change.advance is not None:
            clock.advance(timedelta(seconds=change.advance))
        elif change.set is not None:
            clock.advance(change.set - clock.now())
        else:
            clock.offset = timedelta(0)
        return await self.clock(request)

    # Faults and limits

    async def faults(self, _: web.Request) -> web.Response:
        """Tell the faults in force."""
        return web.json_response({"faults": [fault.as_json() for fault in self._faults.active.values()]})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Set one fault or a list of them."""
        given = await parsed(request)
        specs = _FAULTS.validate_python(given) if isinstance(given, list) else [_FAULT.validate_python(given)]
        return web.json_response({"faults": [self._faults.add(spec).as_json() for spec in specs]}, status=201)

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Remove every fault."""
        self._faults.clear()
        return web.json_response({"faults": []})

    async def clear_fault(self, request: web.Request) -> web.Response:
        """Remove one fault."""
        wanted = int(request.match_info["number"])
        if self._faults.active.pop(wanted, None) is None:
            raise MissingError(f"there is no fault {wanted}")
        return await self.faults(request)

    async def limits(self, _: web.Request) -> web.Response:
        """Tell the rate limits."""
        return web.json_response(_LIMITS.dump_python(self._context.quotas.limits))

    async def set_limits(self, request: web.Request) -> web.Response:
        """Change some of the rate limits; what was used stays used."""
        given, known = await parsed(request), _LIMITS.dump_python(self._context.quotas.limits)
        unknown = sorted(set(given) - set(known)) if isinstance(given, dict) else ["a body that is no object"]
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
        self._context.quotas.limits = _LIMITS.validate_python({**known, **given})
        return await self.limits(request)

    async def token_lifetime(self, _: web.Request) -> web.Response:
        """Tell how long new installation tokens live."""
        return web.json_response({"seconds": int(self._world.token_lifetime.total_seconds())})

    async def set_token_lifetime(self, request: web.Request) -> web.Response:
        """Let new installation tokens live shorter or longer than GitHub's hour."""
        self._world.token_lifetime = timedelta(seconds=(await body(request, TokenLifetime)).seconds)
        return await self.token_lifetime(request)

    # Deliveries

    def _all_deliveries(self) -> list[Delivery]:
        waiting = [waiting.delivery for waiting in self._deliverer.waiting.values()]
        return sorted([*self._world.deliveries.values(), *waiting], key=lambda delivery: delivery.id)

    async def deliveries(self, request: web.Request) -> web.Response:
        """Tell the newest attempts, those that wait among them, oldest first."""
        wanted = {key: request.query[key] for key in ("guid", "event", "status") if key in request.query}
        found = [
            shown
            for shown in map(_delivery, self._all_deliveries())
            if all(shown[key] == value for key, value in wanted.items())
        ]
        return web.json_response({"deliveries": found[-PAGE:]})

    async def delivery(self, request: web.Request) -> web.Response:
        """Tell every attempt of one GUID, with bodies."""
        found = self._attempts(request.match_info["guid"])
        return web.json_response({"deliveries": [{**_delivery(each), **_exchange(each)} for each in found]})

    def _attempts(self, guid: str) -> list[Delivery]:
        found = [delivery for delivery in self._all_deliveries() if delivery.guid == guid]
        if not found:
            raise MissingError(f"there is no delivery {guid}")
        return found

    async def act_on_delivery(self, request: web.Request) -> web.Response:
        """Replay, redeliver, drop or delay."""
        guid, action = request.match_info["guid"], request.match_info["action"]
        newest = self._attempts(guid)[-1]
        if action == "replay":
            return web.json_response(_delivery(self._deliverer.replay(newest)), status=202)
        if action == "redeliver":
            return web.json_response(_delivery(await self._again(newest)), status=202)
        if action == "drop":
            done = self._deliverer.drop(guid)
        else:
            done = self._deliverer.delay(guid, (await body(request, Delay)).seconds)
        if not done:
            raise ConflictError(f"delivery {guid} is sent already: only one that waits can be dropped or delayed")
        return web.json_response(_delivery(newest), status=202)

    async def _again(self, delivery: Delivery) -> Delivery:
        try:
            return await self._deliverer.redeliver(delivery)
        except LookupError as error:
            raise MissingError(str(error)) from error

    # In people's names

    async def push(self, request: web.Request) -> web.Response:
        """Commit files as a person."""
        return web.json_response(await self._owner.push(await body(request, PushRequest)), status=201)

    async def install(self, request: web.Request) -> web.Response:
        """Put an App on an account."""
        return _installed(await self._owner.install(await body(request, Install)), status=201)

    async def act_on_installation(self, request: web.Request) -> web.Response:
        """Suspend, unsuspend, delete, or change permissions or repositories."""
        owner, action = self._owner, request.match_info["action"]
        installation = owner.installation(int(request.match_info["number"]))
        match action:
            case "suspend":
                await owner.suspend(installation, await body(request, Request))
            case "unsuspend":
                await owner.unsuspend(installation, await body(request, Request))
            case "delete":
                await owner.uninstall(installation, await body(request, Request))
            case "permissions":
                await owner.accept(installation, await body(request, Accept))
            case _:
                await owner.select(installation, await body(request, Select))
        return _installed(installation)

    async def act_on_account(self, request: web.Request) -> web.Response:
        """Rename or delete a user or an organisation."""
        account = self._owner.account_by_id(int(request.match_info["number"]))
        if request.match_info["action"] == "rename":
            await self._owner.rename_account(account, await body(request, RenameAccount))
        else:
            await self._owner.delete_account(account, await body(request, Request))
        return web.json_response({"id": account.id, "login": account.login})

    async def act_on_repository(self, request: web.Request) -> web.Response:
        """Rename, transfer, delete, privatize, publicize, archive, unarchive or edit."""
        owner, action = self._owner, request.match_info["action"]
        repository = owner.repository(int(request.match_info["number"]))
        match action:
            case "rename":
                await owner.rename(repository, await body(request, Rename))
            case "transfer":
                await owner.transfer(repository, await body(request, Transfer))
            case "delete":
                await owner.delete(repository, await body(request, Request))
            case "privatize" | "publicize":
                await owner.set_private(repository, await body(request, Request), private=action == "privatize")
            case "archive" | "unarchive":
                await owner.set_archived(repository, await body(request, Request), archived=action == "archive")
            case "edit":
                await owner.edit(repository, await body(request, Edit))
            case _:
                raise MissingError(
                    f"a repository has no action {action!r}: use rename, transfer, delete, privatize, publicize, "
                    "archive, unarchive or edit"
                )
        return web.json_response(self._repository(repository))

    def _repository(self, repository: Repository) -> dict[str, Any]:
        return {
            "id": repository.id,
            "full_name": self._world.full_name(repository),
            "private": repository.private,
            "archived": repository.archived,
            "default_branch": repository.default_branch,
        }

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Say where an App's events go."""
        app, webhook = self._owner.app(request.match_info["slug"]), await body(request, WebhookSeed)
        app.webhook_url, app.webhook_secret = webhook.url, webhook.secret
        app.webhook_active, app.webhook_insecure_ssl = webhook.active, webhook.insecure_ssl
        return web.json_response({"slug": app.slug, "url": app.webhook_url, "active": app.webhook_active})

    async def new_key(self, request: web.Request) -> web.Response:
        """Give an App another key, beside or instead of those that it has; the private half is told once."""
        app, wanted = self._owner.app(request.match_info["slug"]), await body(request, NewKey)
        private, public = seed.new_key()
        app.public_keys = [public] if wanted.replace else [*app.public_keys, public]
        return web.json_response({"slug": app.slug, "keys": len(app.public_keys), "private_key": private}, status=201)

    async def act_on_token(self, request: web.Request) -> web.Response:
        """Revoke a token, or let it expire now."""
        name, now = request.match_info["name"], self._world.clock.now()
        found: Credential | None = next((known for known in self._world.credentials() if known.id == name), None)
        if found is None:
            raise MissingError(f"there is no token {name!r}")
        if request.match_info["action"] == "revoke":
            found.revoked_at = now
        else:
            found.expires_at = now
        return web.json_response(
            {"id": found.id, "revoked_at": _time(found.revoked_at), "expires_at": _time(found.expires_at)}
        )


# What is told


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _installed(installation: Installation, status: int = 200) -> web.Response:
    told = {
        "id": installation.id,
        "repository_selection": installation.repository_selection,
        "repository_ids": sorted(installation.repository_ids),
        "permissions": installation.permissions,
        "events": installation.events,
        "suspended_at": _time(installation.suspended_at),
    }
    return web.json_response(told, status=status)


def _delivery(delivery: Delivery) -> dict[str, Any]:
    kept = ("id", "guid", "event", "action", "app_id", "hook_id", "installation_id", "repository_id", "url")
    attempt = ("redelivery", "status", "status_code", "duration")
    times = {"created_at": _time(delivery.created_at), "delivered_at": _time(delivery.delivered_at)}
    return {name: getattr(delivery, name) for name in (*kept, *attempt)} | times


def _exchange(delivery: Delivery) -> dict[str, Any]:
    return {
        "request": {"headers": delivery.request_headers, "body": delivery.body.decode()},
        "response": {"headers": delivery.response_headers, "body": delivery.response_body},
    }
