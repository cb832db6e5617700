"""The control API: seeds, clock, journal, reset, and clear words for bad input; and the server as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import yaml

from lab.github.tokens import classic
from tests.lab.github.handle import PATIENCE, Forge, eventually
from tests.lab.github.running import CONTROL_TOKEN

ROOT = Path(__file__).resolve().parents[3]


# Seeds


async def test_a_seed_is_idempotent_and_keeps_what_is_there(forge: Forge) -> None:
    document: dict[str, Any] = {
        "users": [{"login": "ann", "id": 7}],
        "apps": [{"slug": "ship", "owner": "ann"}],
        "repositories": [{"owner": "ann", "name": "site", "id": 42, "files": {"a": "1"}, "branches": {"next": {}}}],
        "installations": [{"app": "ship", "account": "ann", "id": 99}],
        "tokens": [{"name": "t", "user": "ann", "value": "a-fixed-value"}],
    }
    first, again = await forge.seed(**document), await forge.seed(**document)
    key = first["apps"]["ship"].pop("private_key")
    assert key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert first == again
    assert first["tokens"]["t"]["value"] == "a-fixed-value"
    assert (first["repositories"]["ann/site"]["id"], first["installations"][0]["id"]) == (42, 99)


async def test_the_key_that_the_lab_makes_works(forge: Forge) -> None:
    made = await forge.seed(users=[{"login": "ann"}], apps=[{"slug": "ship", "owner": "ann"}])
    app, now = made["apps"]["ship"], int(time.time())
    claims = {"iss": str(app["id"]), "iat": now - 30, "exp": now + 300}
    assert (await forge.get("/app", jwt.encode(claims, app["private_key"], "RS256")))[1]["slug"] == "ship"
    rotated = await forge.control("POST", "/apps/ship/keys", {"replace": True})
    assert (await forge.get("/app", jwt.encode(claims, app["private_key"], "RS256")))[0] == 401
    assert (await forge.get("/app", jwt.encode(claims, rotated["private_key"], "RS256")))[0] == 200


async def test_a_seed_may_be_yaml(forge: Forge) -> None:
    text = yaml.safe_dump({"users": [{"login": "ann"}]})
    headers = {"Authorization": f"Bearer {CONTROL_TOKEN}", "Content-Type": "application/yaml"}
    async with forge.session.post(f"{forge.server.addresses.control}/seed", data=text, headers=headers) as answer:
        assert answer.status == 200
    assert forge.server.world.account("ann") is not None


async def test_a_thousand_repositories_are_seeded_quickly(forge: Forge) -> None:
    started = time.process_time()
    repositories = [{"owner": "acme", "name": "r{n}", "count": 1000, "files": {"README.md": "x"}}]
    made = await forge.seed(organizations=[{"login": "acme"}], repositories=repositories)
    assert time.process_time() - started < 5
    assert len({each["id"] for each in made["repositories"].values()}) == 1000
    assert (await forge.git("ls-remote", forge.remote("acme/r1000"), "main")).out.startswith(
        made["repositories"]["acme/r1000"]["head"]
    )


@pytest.mark.parametrize(
    ("document", "status", "said"),
    [
        ({"users": [{"login": "no spaces"}]}, 400, "users.0.login"),
        ({"people": []}, 400, "people"),
        ({"repositories": [{"owner": "nobody", "name": "x"}]}, 404, "no user or organisation 'nobody'"),
        ({"users": [{"login": "ann"}, {"login": "ann", "id": 5}]}, 409, "'ann' is there already"),
        ({"users": [{"login": "ann"}], "organizations": [{"login": "ann"}]}, 409, "'ann' is there already as User"),
        ({"tokens": [{"name": "t", "kind": "installation"}]}, 400, "needs app and account"),
        ({"users": [{"login": "ann"}], "repositories": [{"owner": "ann", "name": "x", "count": 2}]}, 400, "{n}"),
        (
            {"users": [{"login": "ann"}], "repositories": [{"owner": "ann", "name": "x", "files": {"../up": ""}}]},
            400,
            "'../up'",
        ),
    ],
)
async def test_a_wrong_seed_is_refused_in_one_sentence(forge: Forge, document: Any, status: int, said: str) -> None:
    answer = await forge.control("POST", "/seed", document, expect=status)
    assert said in answer["error"]
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/installations/1/suspend", None, 404, "no installation 1"),
        ("POST", "/repositories/1/rename", {"name": "x"}, 404, "no repository 1"),
        ("POST", "/tokens/none/revoke", None, 404, "no token 'none'"),
        ("POST", "/deliveries/none/replay", None, 404, "no delivery none"),
        ("POST", "/clock", {"advance": 1, "reset": True}, 400, "exactly one"),
        ("POST", "/clock", {"set": "noon"}, 400, "set"),
        ("POST", "/push", {"repository": "ann/none", "user": "ann"}, 404, "ann"),
        ("GET", "/journal?since=x", None, 400, "'x' is not a number"),
        ("POST", "/limits", {"anonimous": 1}, 400, "anonimous"),
        ("GET", "/nothing", None, 404, "Not Found"),
        ("PUT", "/seed", None, 405, "Method Not Allowed"),
    ],
)
async def test_bad_input_gets_one_clear_sentence(
    forge: Forge, method: str, path: str, body: Any, status: int, said: str
) -> None:
    assert said in (await forge.control(method, path, body, expect=status))["error"]


async def test_only_the_token_opens_the_control_api(forge: Forge) -> None:
    url = forge.server.addresses.control
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {CONTROL_TOKEN}"}):
        async with forge.session.post(f"{url}/reset", headers=headers) as answer:
            assert answer.status == 401
    async with forge.session.get(f"{url}/healthz") as answer:
        assert (await answer.json())["api_url"] == forge.api


async def test_the_body_must_be_json(forge: Forge) -> None:
    headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
    async with forge.session.post(f"{forge.server.addresses.control}/seed", data="{'users'", headers=headers) as answer:
        assert (answer.status, "not JSON" in (await answer.json())["error"]) == (400, True)


# Clock, limits, reset


async def test_the_clock_decides_when_a_token_expires(forge: Forge) -> None:
    made = await forge.seed(users=[{"login": "ann"}], tokens=[{"name": "t", "user": "ann", "expires_in": 60}])
    token = made["tokens"]["t"]["value"]
    assert (await forge.get("/user", token))[0] == 200
    moved = await forge.control("POST", "/clock", {"advance": 61})
    assert 60 < moved["offset"] < 62
    assert (await forge.get("/user", token))[0] == 401
    set_to = await forge.control("POST", "/clock", {"set": "2031-02-03T04:05:06Z"})
    assert set_to["now"].startswith("2031-02-03T04:05:0")
    assert (await forge.control("POST", "/clock", {"reset": True}))["offset"] == 0


async def test_limits_can_be_lowered(forge: Forge) -> None:
    assert (await forge.control("POST", "/limits", {"anonymous": 1}))["anonymous"] == 1
    statuses = [(await forge.get("/rate_limit"))[0], (await forge.get("/users/x"))[0], (await forge.get("/users/x"))[0]]
    assert statuses == [200, 404, 403]


async def test_reset_forgets_all_and_tells_violations(forge: Forge) -> None:
    await forge.seed(users=[{"login": "ann"}], repositories=[{"owner": "ann", "name": "a", "files": {"a": "1"}}])
    await forge.fault("drop")
    forge.server.context.violations.append("planted")
    answer = await forge.control("POST", "/reset")
    assert answer == {"violations": ["planted"]}
    world = forge.server.world
    assert not world.accounts
    assert not world.repositories
    assert list((forge.server.store.command.folder / "repositories").iterdir()) == []
    assert (await forge.control("GET", "/faults"))["faults"] == []
    assert (await forge.control("GET", "/journal"))["entries"] == []


async def test_reset_forgets_what_is_under_way(forge: Forge) -> None:
    await forge.fault("latency", path="*/meta", seconds=0.5)
    held = asyncio.create_task(forge.get("/meta"))

    async def is_held() -> bool:
        return (await forge.control("GET", "/faults"))["faults"][0]["hits"] == 1  # type: ignore[no-any-return]

    await eventually(is_held)
    await forge.control("POST", "/reset")
    await held
    await forge.get("/versions")
    told = await forge.control("GET", "/journal")
    assert [entry["path"].rpartition("/")[2] for entry in told["entries"]] == ["versions"]
    assert told["last"] == told["entries"][0]["number"]


# Journal


async def test_the_journal_names_credentials_and_origins(forge: Forge) -> None:
    made = await forge.seed(
        users=[{"login": "ann"}],
        repositories=[{"owner": "ann", "name": "a", "private": True, "files": {"a": "1"}}],
        tokens=[{"name": "pat", "user": "ann", "scopes": ["repo"]}],
    )
    token = made["tokens"]["pat"]["value"]
    start = (await forge.control("GET", "/journal"))["next"]
    await forge.get("/repos/ann/a/branches?per_page=1", token, params=None)
    await forge.clone("ann/a", token)
    answer = await forge.control("GET", f"/journal?since={start}")
    first, *rest = answer["entries"]
    told = (first["method"], first["path"], first["credential"], first["status"], first["origin"])
    assert told == ("GET", "/api/v3/repos/ann/a/branches?per_page=1", "pat", 200, forge.web)
    assert {entry["credential"] for entry in rest} == {"anonymous", "pat"}
    assert any(entry["path"].endswith("/git-upload-pack") for entry in rest)
    page = await forge.control("GET", f"/journal?since={start}&limit=1")
    assert (len(page["entries"]), page["next"]) == (1, first["number"])
    assert (await forge.control("GET", f"/journal?since={answer['next']}"))["entries"] == []


async def test_the_journal_never_holds_a_secret(forge: Forge) -> None:
    made = await forge.seed(
        users=[{"login": "ann"}],
        tokens=[{"name": "real", "user": "ann"}, {"name": "odd", "user": "ann", "value": "odd&value/of a token"}],
    )
    stranger, real = classic(), made["tokens"]["real"]["value"]
    headers = {"User-Agent": f"probe {real}"}
    async with forge.session.get(f"{forge.api}/user?access_token={real}&x=1", headers=headers):
        pass
    for place in (f"/users/{stranger}", "/users/odd%26value%2Fof%20a%20token", "/user?code=hunter2"):
        await forge.get(place)
    text = json.dumps(await forge.control("GET", "/journal"))
    # The scan itself can find a leak.
    assert real in text + real
    assert not [secret for secret in (stranger, real, "odd%26value", "odd&value", "hunter2") if secret in text]
    assert text.count("[hidden]") == 5


# The process


def arguments(folder: Path, **changed: str) -> list[str]:
    (folder / "token").write_text("secret\n")
    given = {"dir": str(folder / "lab"), "token-file": str(folder / "token"), "ready-file": str(folder / "ready")}
    return [sys.executable, "-m", "lab.github", *(f"--{name}={value}" for name, value in {**given, **changed}.items())]


async def start(*command: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def test_the_server_as_a_process_serves_and_stops(tmp_path: Path) -> None:
    process = await start(*arguments(tmp_path))
    ready = tmp_path / "ready"
    await eventually(partial(asyncio.to_thread, ready.exists))
    told = json.loads(ready.read_text())
    trust, headers = ssl.create_default_context(cafile=told["ca_file"]), {"Authorization": "Bearer secret"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{told['control_url']}/healthz") as answer:
            assert (await answer.json())["git_url"] == told["git_url"]
        async with session.post(f"{told['control_url']}/faults", json={"kind": "latency", "seconds": 60}) as answer:
            assert answer.status == 201
        # One request is under way when it has to stop.
        hanging = asyncio.create_task(session.get(told["git_url"], ssl=trust))
        await asyncio.wait({hanging}, timeout=0.2)
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        with pytest.raises(aiohttp.ClientError):
            await hanging
    assert (process.returncode, out, err) == (0, b"", b"")
    assert not ready.exists()


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"port": "x"}, 2, "argument --port: 'x' is not a port"),
        ({"token-file": "/nowhere"}, 2, "--token-file /nowhere can't be read"),
        ({"unknown": "1"}, 2, "unrecognized arguments"),
        ({"hook-ca": "/nowhere"}, 2, "--hook-ca /nowhere"),
        ({"dir": "/dev/null/x"}, 1, "Not a directory"),
        ({"port": "TAKEN"}, 1, "can't listen on 127.0.0.1:"),
    ],
)
async def test_the_process_says_in_one_line_what_is_wrong(
    tmp_path: Path, changed: dict[str, str], code: int, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await start(*arguments(tmp_path, **{k: port if v == "TAKEN" else v for k, v in changed.items()}))
        _, err = await asyncio.wait_for(process.communicate(), 20)
    lines = err.decode().splitlines()
    assert (process.returncode, len(lines)) == (code, 1), err.decode()
    assert said in lines[0]
    assert not (tmp_path / "ready").exists()


async def test_a_folder_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    # As a full disk does, a limit of zero lets files be made and not written.
    command = arguments(tmp_path)
    process = await start("/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, len(err.decode().splitlines())) == (1, 1), err.decode()
    assert "File too large" in err.decode()
