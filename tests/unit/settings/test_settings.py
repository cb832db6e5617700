"""The settings: what is read, what is refused, and that a person is told everything at once and no value."""

import os
import re
import traceback
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mooring.settings import (
    VARIABLES,
    Command,
    Listen,
    Settings,
    SettingsError,
    parse_duration,
    parse_listen,
    parse_networks,
)

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
NOWHERE = Path("/nonexistent/namespace")
LEAST = {"MOORING_NAMESPACE": "mooring-system", "MOORING_CHECKOUT_IMAGE": "registry.example.com/mooring:1.0.0"}
PLANTED = "ghp_" + "aB3dE5fG7h" * 4


def load(**variables: str) -> Settings:
    return Settings.load({**LEAST, **variables}, namespace_file=NOWHERE)


def refusal(environment: Mapping[str, str], *, command: Command = "operator") -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environment, command=command, namespace_file=NOWHERE)
    return caught.value


def sentence(variable: str, value: str, **others: str) -> str:
    problems = refusal({**LEAST, **others, variable: value}).problems
    assert [problem.variable for problem in problems] == [variable]
    return problems[0].sentence


# --- what is read ---


def test_the_defaults() -> None:
    settings = load()

    assert settings.github_api_url == "https://api.github.com"
    assert settings.watch_namespaces == ()
    assert settings.policy_configmap == "mooring-policy"
    assert settings.sweep_interval == timedelta(minutes=10)
    assert settings.development is False
    assert (settings.public_base_url, settings.github_ca_file, settings.master_key_dir) == (None, None, None)
    assert (settings.webhook_dir, settings.gateway_token_dir, settings.trusted_proxies) == (None, None, ())
    assert settings.large_file_hosts == ()
    listens = (settings.operator_listen, settings.gateway_listen, settings.gateway_admin_listen)
    assert [str(listen) for listen in listens] == [":8081", ":8080", ":8082"]


def test_everything_can_be_set(tmp_path: Path) -> None:
    settings = load(
        MOORING_WATCH_NAMESPACES=" team-a, team-b ,team-a,",
        MOORING_GITHUB_API_URL="https://GHES.example.com:443/api/v3/",
        MOORING_GITHUB_APP_SECRET="our-app",
        MOORING_POLICY_CONFIGMAP="our-policy",
        MOORING_PUBLIC_BASE_URL="https://mooring.example.com/hooks",
        MOORING_MASTER_KEY_DIR=str(tmp_path),
        MOORING_WEBHOOK_DIR=str(tmp_path),
        MOORING_GATEWAY_TOKEN_DIR=str(tmp_path),
        MOORING_LARGE_FILE_HOSTS="S3.example.com, s3.example.com:8443,s3.example.com:443,",
        MOORING_TRUSTED_PROXIES="10.0.0.7, 192.168.0.0/16,fd00::/8,10.0.0.7,",
        MOORING_SWEEP_INTERVAL="1h30m",
        MOORING_DEVELOPMENT="true",
        MOORING_LOG_LEVEL="debug",
        MOORING_OPERATOR_LISTEN="127.0.0.1:0",
        MOORING_GATEWAY_LISTEN="[::1]:0",
    )

    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.github_api_url == "https://ghes.example.com/api/v3"
    assert settings.github_app_secret == "our-app"
    assert (settings.master_key_dir, settings.webhook_dir, settings.gateway_token_dir) == (tmp_path, tmp_path, tmp_path)
    assert settings.large_file_hosts == ("s3.example.com", "s3.example.com:8443")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.7/32", "192.168.0.0/16", "fd00::/8"]
    assert settings.sweep_interval == timedelta(minutes=90)
    assert settings.log_level == "debug"
    assert settings.operator_listen == Listen("127.0.0.1", 0)
    assert settings.gateway_listen == Listen("::1", 0)


def test_the_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load().namespace = "other"  # type: ignore[misc]  # that it cannot be assigned is what is tested


def test_the_namespace_comes_from_the_pod_and_the_variable_wins(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    file.write_text("from-the-pod\n", encoding="utf-8")
    without = {"MOORING_CHECKOUT_IMAGE": "mooring"}

    assert Settings.load(without, namespace_file=file).namespace == "from-the-pod"
    assert Settings.load({**without, "MOORING_NAMESPACE": "named"}, namespace_file=file).namespace == "named"


def test_an_empty_value_is_as_good_as_none() -> None:
    assert load(MOORING_SWEEP_INTERVAL="", MOORING_PUBLIC_BASE_URL="  ").public_base_url is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MOORING_CACHE_DIR", "/var/cache"),
        ("MOORING_SERVICE_HOST", "10.96.0.7"),
        ("MOORING_PORT", "tcp://10.96.0.7:80"),
        ("MOORING_GATEWAY_SERVICE_HOST", "10.96.0.7"),
        ("MOORING_GATEWAY_SERVICE_PORT", "80"),
        ("MOORING_GATEWAY_SERVICE_PORT_HTTP", "80"),
        ("MOORING_GATEWAY_PORT", "tcp://10.96.0.7:80"),
        ("MOORING_GATEWAY_PORT_80_TCP", "tcp://10.96.0.7:80"),
        ("MOORING_GATEWAY_PORT_80_TCP_PORT", "80"),
        ("MOORING_GATEWAY_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("HOME", "/"),
    ],
)
def test_what_kubernetes_and_the_build_set_is_no_problem(variable: str, value: str) -> None:
    load(**{variable: value})


# --- what is refused ---


def test_every_problem_is_told_at_once() -> None:
    error = refusal(
        {
            "MOORING_NAMSPACE": "x",
            "MOORING_GITHUB_API_URL": "http://github.example.com",
            "MOORING_SWEEP_INTERVAL": "ten minutes",
            "MOORING_OPERATOR_LISTEN": ":8080",
            "MOORING_WATCH_NAMESPACES": "ok,Not OK",
        }
    )

    assert [problem.variable for problem in error.problems] == [
        "MOORING_CHECKOUT_IMAGE",
        "MOORING_GATEWAY_LISTEN",
        "MOORING_GITHUB_API_URL",
        "MOORING_NAMESPACE",
        "MOORING_NAMSPACE",
        "MOORING_SWEEP_INTERVAL",
        "MOORING_WATCH_NAMESPACES",
    ]
    lines = str(error).splitlines()
    assert lines[0] == "7 problems in the environment; nothing was started"
    assert len(lines) == 8
    assert all(line.startswith("  MOORING_") for line in lines[1:])


@pytest.mark.parametrize("variable", [*VARIABLES, "MOORING_X"])
def test_no_value_is_ever_repeated(variable: str) -> None:
    values = (PLANTED, f"https://me:{PLANTED}@host", f"https://{PLANTED}", f"https://host/?{PLANTED}")
    commands: tuple[Command, ...] = ("operator", "gateway")
    for value, command in product(values, commands):
        try:
            Settings.load({**LEAST, variable: value}, command=command, namespace_file=NOWHERE)
        except SettingsError:
            trace = traceback.format_exc()
        else:
            trace = ""  # an image or a name may look like this
        assert PLANTED not in trace


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("MOORING_NAMSPACE", "MOORING_NAMESPACE"),
        ("MOORING_SWEEP_INTERVALL", "MOORING_SWEEP_INTERVAL"),
        ("MOORING_WATCH_NAMESPACE", "MOORING_WATCH_NAMESPACES"),
        ("MOORING_OPERATOR_LISTENER", "MOORING_OPERATOR_LISTEN"),
    ],
)
def test_a_misspelt_variable_gets_a_hint(wrong: str, near: str) -> None:
    assert sentence(wrong, "x") == f"is no setting; did you mean {near}?"


def test_a_port_of_ours_that_is_a_number_is_a_misspelling() -> None:
    assert sentence("MOORING_GATEWAY_PORT", "8080").startswith("is no setting")


def test_an_unknown_variable_points_to_the_reference() -> None:
    assert "docs/reference/settings.md" in sentence("MOORING_FROBNICATE", "x")


@pytest.mark.parametrize("variable", ["MOORING_GITHUB_API_URL", "MOORING_PUBLIC_BASE_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "api.github.com",
        "ftp://github.example.com",
        "https://",
        "https://user:password@github.example.com",
        "https://github.example.com/?a=b",
        "https://github.example.com/#a",
        "https://github.example.com:99999",
        "https://gïthub.example.com",
        "https://github.example.com/../x",
        "https://git hub.example.com",
    ],
)
def test_urls_that_are_refused(variable: str, value: str) -> None:
    assert "write https://HOST[:PORT][/PATH]" in sentence(variable, value)
    assert "write https://HOST[:PORT][/PATH]" in sentence(variable, value, MOORING_DEVELOPMENT="true")


@pytest.mark.parametrize("variable", ["MOORING_GITHUB_API_URL", "MOORING_PUBLIC_BASE_URL"])
def test_plain_http_needs_development(variable: str) -> None:
    assert "MOORING_DEVELOPMENT=true" in sentence(variable, "http://127.0.0.1:8000")
    load(**{variable: "http://127.0.0.1:8000/", "MOORING_DEVELOPMENT": "true"})
    assert sentence("MOORING_DEVELOPMENT", "yes") == "is neither true nor false; write one of the two"


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("3s", 3), ("1h30m", 5400), ("1h2m3s", 3723), ("0s", 0), ("90m", 5400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-3s", "3s1m", "10 m", "1d", "\u0661s", "9999999h"])
def test_durations_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "25h"])
def test_a_sweep_has_bounds(text: str) -> None:
    assert sentence("MOORING_SWEEP_INTERVAL", text) == "is out of bounds; write a duration from 1s to 24h"


@given(st.integers(0, 65535), st.sampled_from([None, "127.0.0.1", "10.0.0.1", "::1", "::"]))
def test_what_is_listened_on_reads_as_it_is_written(port: int, host: str | None) -> None:
    listen = Listen(host, port if host else max(port, 1))

    assert parse_listen(str(listen)) == listen


@pytest.mark.parametrize("text", ["8081", "", ":", ":65536", ":-1", "localhost:8081", "::1:x", "1.2.3:80", ": 80"])
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write :PORT or ADDRESS:PORT"):
        parse_listen(text)


def test_port_0_on_all_addresses_would_be_two_ports() -> None:
    assert sentence("MOORING_OPERATOR_LISTEN", ":0").startswith("has port 0 without an address")


def test_two_servers_share_no_port() -> None:
    assert (
        sentence("MOORING_GATEWAY_ADMIN_LISTEN", ":8081")
        == "has the port of MOORING_OPERATOR_LISTEN; give it one of its own"
    )


def test_files_must_be_there(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("", encoding="utf-8")

    assert "cannot be read" in sentence("MOORING_GITHUB_CA_FILE", str(tmp_path / "missing"))
    assert "without a certificate" in sentence("MOORING_GITHUB_CA_FILE", str(empty))
    assert "names no folder" in sentence("MOORING_MASTER_KEY_DIR", str(empty))


def test_a_folder_that_is_written_to_must_let_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "can be written to" in sentence("MOORING_GATEWAY_TOKEN_DIR", str(tmp_path / "missing"))

    # Root may write anywhere, so the answer of the system is put in its place.
    monkeypatch.setattr("os.access", lambda _, mode: not mode & os.W_OK)
    assert "can be written to" in sentence("MOORING_GATEWAY_TOKEN_DIR", str(tmp_path))


@pytest.mark.parametrize(
    "entry",
    ["10.0.0.1/8", "proxy", "10.0.0.0/33", "fe80::1%eth0", "10.0.0.0/255.0.0.0", "10.0.0", "1/8", "/8", "10.0.0.0/-1"],
)
def test_networks_that_are_refused(entry: str) -> None:
    assert "(no. 2); write such as 10.0.0.7 or" in sentence("MOORING_TRUSTED_PROXIES", f"10.1.0.0/16,{entry}")


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0"])
def test_nobody_trusts_everybody(everybody: str) -> None:
    assert sentence("MOORING_TRUSTED_PROXIES", f"10.0.0.7,{everybody}").startswith("trusts every address")


@given(st.lists(st.ip_addresses(), max_size=5, unique=True))
def test_an_address_is_a_network_of_its_own(addresses: list[Any]) -> None:
    assert parse_networks(",".join(str(address) for address in addresses)) == tuple(map(ip_network, addresses))


# --- what each command needs ---


def test_the_gateway_needs_its_folder_and_no_image(tmp_path: Path) -> None:
    settings = Settings.load(
        {"MOORING_NAMESPACE": "mooring-system", "MOORING_WEBHOOK_DIR": str(tmp_path)},
        command="gateway",
        namespace_file=NOWHERE,
    )

    assert (settings.webhook_dir, settings.checkout_image) == (tmp_path, "")


def test_each_command_is_told_all_that_it_needs_at_once() -> None:
    wrong = {"MOORING_SWEEP_INTERVAL": "x"}

    needed = {
        command: [problem.variable for problem in refusal(wrong, command=command).problems]
        for command in get_args(Command)
    }

    assert needed == {
        "operator": ["MOORING_CHECKOUT_IMAGE", "MOORING_NAMESPACE", "MOORING_SWEEP_INTERVAL"],
        "gateway": ["MOORING_NAMESPACE", "MOORING_SWEEP_INTERVAL", "MOORING_WEBHOOK_DIR"],
        "release": ["MOORING_NAMESPACE", "MOORING_SWEEP_INTERVAL"],
    }


def test_commands_may_share_an_environment_but_not_their_files(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    of_the_gateway = {"MOORING_WEBHOOK_DIR": missing}
    operators = ("MOORING_GATEWAY_TOKEN_DIR", "MOORING_MASTER_KEY_DIR", "MOORING_GITHUB_CA_FILE")
    of_the_operator = dict.fromkeys(operators, missing)

    load(**of_the_gateway)
    found = refusal({**LEAST, **of_the_gateway, **of_the_operator}, command="gateway").problems

    assert [str(problem) for problem in found] == [
        "MOORING_WEBHOOK_DIR names no folder that can be read; mount the Secret mooring-webhook, and name its folder"
    ]
    assert len(refusal({**LEAST, **of_the_gateway, **of_the_operator}).problems) == 3


def test_an_image_that_is_none_is_refused_for_each_command(tmp_path: Path) -> None:
    wrong = {**LEAST, "MOORING_CHECKOUT_IMAGE": "not an image", "MOORING_WEBHOOK_DIR": str(tmp_path)}

    for command in get_args(Command):
        assert [problem.variable for problem in refusal(wrong, command=command).problems] == ["MOORING_CHECKOUT_IMAGE"]


# --- the reference ---


@pytest.mark.parametrize("entry", ["https://s3.example.com", "s3.example.com/x", "*.example.com", "s3:99999", "sécret"])
def test_a_host_of_large_files_is_a_host(entry: str) -> None:
    said = sentence("MOORING_LARGE_FILE_HOSTS", f"a.example,{entry}")
    assert said == "has an entry that is no host (no. 2); write HOST or HOST:PORT, with commas between them"


def test_the_reference_lists_every_setting_in_these_words() -> None:
    rows = re.findall(r"^\| `(MOORING_\w+)` \| (.*) \|$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)

    assert rows == [(name, " ".join(text.split())) for name, text in VARIABLES.items()]


def test_the_defaults_of_the_reference_are_the_real_ones() -> None:
    named = {name: found[1] for name, text in VARIABLES.items() if (found := re.search(r"Default: `([^`]+)`\.", text))}

    assert load(**named) == load()
    assert len(named) >= 9
