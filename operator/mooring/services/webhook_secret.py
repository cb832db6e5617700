"""Keeps the one Secret that tells the gateway what it has to know: the keys that both share, and the Apps' secrets.

Nothing of it comes from the Secret once this process has read or made the keys: what somebody else writes there, or
takes away, is put right. What is wanted is gathered and written together, seldom enough for any number of Apps.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import random
import secrets as chance
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from mooring.domain import names
from mooring.domain.app_secrets import webhook_secrets_in
from mooring.domain.audit import Action
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.webhooks.keys import AppHook, BadDocument, Document, Keys, dump, from_chance, from_master, parse
from mooring.domain.webhooks.sharing import Dated, document_of
from mooring.ports import AlreadyExists, Changed, Object
from mooring.services.election import Wait, wait
from mooring.services.intake import Sighting
from mooring.services.master_keys import BadMasterKeys, MasterKeys
from mooring.services.platform import Platform
from mooring.services.secrets import write_secret
from mooring.services.store import Key
from mooring.settings import Problem, Settings, SettingsError

log = logging.getLogger(__name__)

# Seconds between two writes, and between two looks at the folder with the master keys.
APART, POLL = 2.0, 10.0
# Seconds that the first run of anything waits for the keys, while the API server does not give them.
BEGIN = 10.0
# Delay after the first failure, and its ceiling, in seconds; doubled each time, then spread by jitter.
FIRST_DELAY, LAST_DELAY = 1.0, 60.0
# Seconds after which every gateway has a changed Secret: the kubelet brings it within two minutes. A proof that is
# signed earlier with a new key would not be believed there, and a push not be taken.
KNOWN_EVERYWHERE = 180.0


class Unusable(Exception):
    """The Secret that is there is not one of ours; the text says what to do."""


class WebhookSecret:
    """The Secret `mooring-webhook`. One for a process; only who leads makes it begin."""

    def __init__(
        self,
        platform: Platform,
        ask_all: Callable[[], None],
        *,
        ask_hooked: Callable[[int], None] = lambda _version: None,
        folder: MasterKeys | None = None,
        masters: Mapping[int, bytes] | None = None,
        random_bytes: Callable[[int], bytes] = chance.token_bytes,
        waiting: Wait = wait,
    ) -> None:
        """Take what asks every object to look again, and the master keys as they were at the start.

        `ask_hooked` asks the Projects whose hooks have a secret of an older version than this one.
        """
        self._platform = platform
        self._ask_all = ask_all
        self._ask_hooked = ask_hooked
        self._folder = folder
        self._masters = masters
        self._random_bytes = random_bytes
        self._wait = waiting
        self._where = f"Secret {platform.namespace}/{names.WEBHOOK_SECRET}"
        # What is to be in the Secret. None until it was read or made; never replaced by what is found there later.
        self._keys: Keys | None = None
        # The keys and the text that were last known to be there, and the object that has them.
        self._stored_keys: Keys | None = None
        self._text: str | None = None
        self._uid: str | None = None
        self._version: str | None = None
        # Apps as the document had them last: those count whose objects nobody has looked at yet.
        self._apps: tuple[AppHook, ...] = ()
        # What came of each GitHubInstallation; the newest last.
        self._told: dict[Key, AppHook | None] = {}
        self._left_out = 0
        # The key that signs proofs now, and from when on every gateway surely knows each key.
        self._signing: bytes | None = None
        self._known_from: dict[bytes, datetime] = {}
        # Whether something may have changed, and whether that was the Secret itself.
        self._news, self._due, self._look = asyncio.Event(), True, True
        self._free_at = platform.clock.now()
        self._failures = 0
        # What was logged last of what is wrong, by its topic.
        self._said: dict[str, str | None] = {}
        self._serving = False

    # --- what others tell and ask ---

    def tell(self, key: Key, app: AppHook | None) -> None:
        """Take what came of a GitHubInstallation: the App that it proved to be its own, or that there is none."""
        news = key not in self._told or self._told[key] != app
        self._told.pop(key, None)
        self._told[key] = app
        if news:
            self._wake()

    def forget(self, key: Key) -> None:
        """Take note that a GitHubInstallation is gone."""
        self._told.pop(key, None)
        self._wake()

    def has(self, key: Key, secret: str) -> bool:
        """Tell whether the gateway takes webhooks of the App that a GitHubInstallation names."""
        if key in self._told:
            return self._told[key] is not None
        return any((app.namespace, app.secret) == (key.namespace, secret) for app in self._apps)

    def sighting(self, seen: Sighting) -> None:
        """Take an event about a Secret."""
        if seen.kind != "Secret" or seen.namespace != self._platform.namespace:
            return
        if seen.name == names.WEBHOOK_SECRET and (seen.event == "DELETED" or seen.resource_version != self._version):
            self._look = True
            self._wake()
        if seen.name == self._platform.app_secret:
            self._wake()

    def _wake(self) -> None:
        self._due = True
        self._news.set()

    # --- when ---

    async def begin(self) -> None:
        """Read or make the keys before the first object is looked at; without them things go on after a while."""
        clock = self._platform.clock
        end = clock.now() + timedelta(seconds=BEGIN)
        try:
            async with asyncio.timeout(BEGIN):
                while not await self._attempt():
                    left = (end - clock.now()).total_seconds()
                    if left <= 0:
                        break
                    await self._wait(asyncio.Event(), min(self._seconds_left(), left))
                else:
                    return
        except TimeoutError:
            pass  # a request without an answer
        log.warning("the work begins without the keys of webhooks; %s is tried again", self._where)

    async def serve(self) -> None:
        """Keep the Secret until cancelled."""
        self._serving = True
        while True:
            await self._wait(self._news, POLL)
            self._read_masters()
            # News of that time are taken along.
            if self._due and (seconds := self._seconds_left()) > 0:
                await self._wait(asyncio.Event(), seconds)
            self._news.clear()
            if self._due:
                await self._attempt()
            elif self._keys is not None and self._keys == self._stored_keys:
                self._publish()

    def _seconds_left(self) -> float:
        return (self._free_at - self._platform.clock.now()).total_seconds()

    def _pause(self, seconds: float) -> None:
        self._free_at = self._platform.clock.now() + timedelta(seconds=seconds)

    async def _attempt(self) -> bool:
        """Put the Secret right; tell whether that is done with for now."""
        looks, self._due, self._look = self._look, False, False
        try:
            await self._tend(looks=looks)
        except Unusable as problem:
            # Its next change is seen.
            self._say("Secret", f"{self._where} {problem}", logging.ERROR)
            self._text = None
        except (Changed, AlreadyExists):
            return self._failed()  # somebody was faster: what is there is read
        except Trouble as trouble:
            self._say("Secret", trouble.message, logging.WARNING)
            return self._failed()
        except asyncio.CancelledError:
            self._failed()
            raise
        except Exception:
            # The edge of the loop: a defect here must not end the operator.
            log.exception("%s could not be kept", self._where)
            return self._failed()
        else:
            self._say("Secret", None)
        self._failures = 0
        self._pause(APART)
        return True

    def _failed(self) -> bool:
        ceiling = min(FIRST_DELAY * 2 ** min(self._failures, 16), LAST_DELAY)
        self._failures += 1
        self._pause(ceiling * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        self._look = True
        self._wake()
        return False

    def _say(self, topic: str, what: str | None, level: int = logging.ERROR) -> None:
        """Log what is wrong with something, once; None where nothing is any more."""
        if what is not None and what != self._said.get(topic):
            log.log(level, "%s", what)
        self._said[topic] = what

    def _read_masters(self) -> None:
        if self._folder is None:
            return
        try:
            found = self._folder.read()
        except BadMasterKeys as problem:
            self._say("master keys", f"MOORING_MASTER_KEY_DIR {problem}. The keys from before stay.")
            return
        self._say("master keys", None)
        if found != self._masters:
            self._masters = found
            if self._keys is not None:
                self._keys = from_master(found, id_key=self._keys.id_key)
            log.info("the master keys have changed: there are %d", len(found))
            self._wake()

    # --- what ---

    async def _tend(self, *, looks: bool) -> None:
        own = await self._operators_app()
        if self._keys is not None and not looks:
            document, left_out = document_of(self._keys, own, self._tenants())
            if dump(document) == self._text:
                self._note_left_out(left_out)
                return
        live = await self._platform.cluster.read("Secret", self._platform.namespace, names.WEBHOOK_SECRET)
        found = self._take_in(live)
        keys = self._keys or self._new_keys()
        document, left_out = document_of(keys, own, self._tenants())
        text = dump(document)
        if live is None or not _is_right(live, found, text):
            stored = await self._write(live, text)
            self._uid, self._version = stored["metadata"]["uid"], stored["metadata"]["resourceVersion"]
        self._keys, self._text, self._apps = keys, text, document.apps
        self._note_left_out(left_out)
        self._note_keys(keys)
        self._publish()

    async def _operators_app(self) -> AppHook | None:
        platform = self._platform
        try:
            secret = await platform.secrets.get(platform.namespace, platform.app_secret)
            values = () if secret is None else webhook_secrets_in(secret, platform.app_secret)
            app = AppHook(platform.origin(None).api_url, values) if values else None
        except Stalled as trouble:
            self._say("App", f"The webhooks of the operator's own App are not taken: {trouble.message}")
            return None
        self._say("App", None)
        return app

    def _take_in(self, live: Object | None) -> str | None:
        """Return the text that is in the Secret, None where it is none of ours; raise Unusable.

        The keys in it count only where this process has none yet.
        """
        if live is None:
            return None
        metadata = live["metadata"]
        self._version = metadata["resourceVersion"]
        label = (metadata.get("labels") or {}).get(names.MANAGED_BY)
        if label != names.MANAGER and metadata["uid"] != self._uid:
            raise Unusable(
                "was not made by Mooring, so it is left alone, and no webhooks are taken. Delete it, and the operator"
                " makes its own."
            )
        text = _text_of(live)
        if self._keys is None:
            try:
                document = parse(text or "")
            except BadDocument as problem:
                raise Unusable(f"cannot be used, and no webhooks are taken: {problem}.") from None
            self._adopt(document)
        self._uid = metadata["uid"]
        return text

    def _adopt(self, document: Document) -> None:
        keys = document.keys
        self._stored_keys, self._apps = keys, document.apps
        # Addresses that were entered at GitHub stay good, whatever becomes of the other keys.
        self._keys = keys if self._masters is None else from_master(self._masters, id_key=keys.id_key)
        # The newest may have been written just before the last process ended; the oldest that is to stay was there
        # before it. Where none stays, what gateways have by now is as good as it gets.
        common = [key for key in keys.proof_keys if key in self._keys.proof_keys]
        self._signing = (common or keys.proof_keys)[-1]
        stay = [version for version, key in keys.hook_keys.items() if self._keys.hook_keys.get(version) == key]
        self._platform.hook_version = min(stay or keys.hook_keys)
        self._note_times(keys)
        # Good at once, also where the Secret cannot be written now.
        self._use(self._in_order(keys))

    def _new_keys(self) -> Keys:
        return from_chance(self._random_bytes) if self._masters is None else from_master(self._masters)

    async def _write(self, live: Object | None, text: str) -> Object:
        manifest: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names.WEBHOOK_SECRET,
                "namespace": self._platform.namespace,
                "labels": {names.MANAGED_BY: names.MANAGER},
            },
            "type": "Opaque",
            "data": {names.WEBHOOK_KEY: base64.b64encode(text.encode()).decode()},
        }
        cluster = self._platform.cluster
        stored = await (cluster.create(manifest) if live is None else write_secret(cluster, manifest, live))
        log.info("%s is written", self._where)
        return stored

    def _tenants(self) -> Iterator[Dated]:
        """Go through the Apps of tenants: those that were proven, and those that were told of and are to be looked at.

        Where several objects speak of one App, the one that was looked at last knows its secrets best.
        """
        store = self._platform.store
        since: dict[tuple[str, str], str] = {}
        awaited: set[tuple[str, str]] = set()
        for key in store:
            obj = store.outline(key)
            ref = (obj.get("spec") or {}).get("appSecretRef") if obj and key.kind == "GitHubInstallation" else None
            if not obj or not ref:
                continue
            place = (key.namespace, ref["name"])
            made = str(obj["metadata"].get("creationTimestamp") or "")
            since[place] = min(made, since.get(place, made))
            if key not in self._told:
                awaited.add(place)
        apps: dict[tuple[str, str, str], AppHook] = {}
        known = (app for app in self._apps if (app.namespace or "", app.secret or "") in awaited)
        for app in (*known, *self._told.values()):
            if app is not None:
                apps[app.namespace or "", app.secret or "", app.origin] = app
        for (namespace, secret, _), app in apps.items():
            yield Dated(since.get((namespace, secret), ""), app)

    # --- afterwards ---

    def _note_left_out(self, count: int) -> None:
        if count > self._left_out:
            log.error(
                "%s is full, or a namespace has its share of it: the webhooks of the %d newest Apps are not taken."
                " Remove Apps that nobody uses, or give several GitHubInstallations of a namespace the same Secret.",
                self._where,
                count,
            )
        self._left_out = count

    def _note_keys(self, keys: Keys) -> None:
        if keys != self._stored_keys:
            self._platform.audit.record(
                Action.WEBHOOK_KEYS_MADE, kind="Secret", namespace=self._platform.namespace, name=names.WEBHOOK_SECRET
            )
        self._stored_keys = keys

    def _publish(self) -> None:
        """Have these keys used; a new one signs only when all gateways know it."""
        if self._keys is None:
            return
        keys = self._keys
        self._note_times(keys)
        now = self._platform.clock.now()
        everywhere = next((key for key in keys.proof_keys if self._known_from[key] <= now), None)
        if everywhere is not None:
            self._signing = everywhere
        elif self._signing not in keys.proof_keys:
            # Gateways have none of these yet: whichever signs, it is not believed before they do. The branches of
            # Projects that are proven anew are read once more after that.
            self._signing = keys.proof_keys[0]
        self._use(self._in_order(keys))
        self._choose_hook_version(keys, now)

    def _choose_hook_version(self, keys: Keys, now: datetime) -> None:
        """Have hooks use the newest version that every gateway knows; where all are new to them, the newest."""
        known = [version for version, key in keys.hook_keys.items() if self._known_from[key] <= now]
        before = self._platform.hook_version
        if not known and before in keys.hook_keys:
            return
        self._platform.hook_version = version = max(known or keys.hook_keys)
        if version != before and self._serving:
            self._ask_hooked(version)

    def _note_times(self, keys: Keys) -> None:
        """Note keys that are in the Secret, from when on each may sign. A key that was taken out is new once more."""
        at = self._platform.clock.now() + timedelta(seconds=KNOWN_EVERYWHERE)
        self._known_from = {key: self._known_from.get(key, at) for key in (*keys.proof_keys, *keys.hook_keys.values())}

    def _in_order(self, keys: Keys) -> Keys:
        """Return the keys with the one first that signs now."""
        signing = [key for key in keys.proof_keys if key == self._signing]
        return replace(keys, proof_keys=(*signing, *(key for key in keys.proof_keys if key != self._signing)))

    def _use(self, keys: Keys) -> None:
        before, self._platform.webhook_keys = self._platform.webhook_keys, keys
        if before is None and self._serving:
            self._ask_all()


def webhook_secret(
    settings: Settings,
    platform: Platform,
    ask_all: Callable[[], None],
    ask_hooked: Callable[[int], None] = lambda _version: None,
) -> WebhookSecret:
    """Return what keeps the gateway's Secret; raise SettingsError where the master keys cannot be used."""
    if settings.master_key_dir is None:
        return WebhookSecret(platform, ask_all, ask_hooked=ask_hooked)
    folder = MasterKeys(settings.master_key_dir)
    try:
        return WebhookSecret(platform, ask_all, ask_hooked=ask_hooked, folder=folder, masters=folder.read())
    except BadMasterKeys as problem:
        raise SettingsError([Problem("MOORING_MASTER_KEY_DIR", str(problem))]) from None


def _text_of(live: Object) -> str | None:
    """Return the document in a Secret, whatever is in it; None where there is none."""
    try:
        return base64.b64decode((live.get("data") or {}).get(names.WEBHOOK_KEY) or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _is_right(live: Object, found: str | None, text: str) -> bool:
    """Tell whether a Secret is just what it should be."""
    label = (live["metadata"].get("labels") or {}).get(names.MANAGED_BY)
    return found == text and label == names.MANAGER and set(live.get("data") or ()) == {names.WEBHOOK_KEY}
