"""Taking an App and certificates out of what somebody named: only what has their form comes out, and no word of it."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.app_secrets import (
    MAX_COPIED_BYTES,
    AppSecret,
    app_in,
    app_source,
    bundle_in,
    certificates_to_copy,
    webhook_secrets_in,
)
from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason

BODY = "MIIEpAIBAAKCAQEA7bq1k2lK0+/w==\nZm9vYmFyYmF6cXV4"


def pem(kind: str = "RSA PRIVATE KEY", body: str = BODY) -> str:
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


KEY = pem()
CERTIFICATE = pem("CERTIFICATE")


def secret(kind: str | None = "Opaque", uid: str = "uid-app", **data: str | bytes) -> dict[str, Any]:
    encoded = {
        key: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for key, value in data.items()
    }
    found: dict[str, Any] = {"metadata": {"name": "app", "uid": uid, "resourceVersion": "1"}, "data": encoded}
    return found if kind is None else {**found, "type": kind}


def app(**changes: str | bytes) -> dict[str, Any]:
    values: dict[str, Any] = {"appId": "42", "privateKey": KEY, **changes}
    return secret(**values)


@pytest.mark.parametrize("kind", ["Opaque", None])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_an_app_comes_out(kind: str | None, end: str) -> None:
    found = secret(kind, appId=f"42{end}", privateKey=KEY, webhookSecret=f"hush-hush{end}", clientId="Iv1", more="x")
    assert app_in(found, "app") == AppSecret(42, KEY, ("hush-hush",))


@pytest.mark.parametrize("more", [{}, {"webhookSecret": ""}])
def test_the_webhooks_secret_may_be_missing(more: dict[str, str]) -> None:
    assert app_in(app(**more), "app") == AppSecret(42, KEY, ())


def test_three_webhook_secrets_may_be_good_at_once() -> None:
    three = {"webhookSecretPrevious": "last\n", "webhookSecret": "present", "webhookSecretNext": "next", "more": "x"}
    assert app_in(app(**three), "app").webhook_secrets == ("next", "present", "last")
    assert webhook_secrets_in(app(webhookSecretPrevious="last"), "app") == ("last",)
    assert webhook_secrets_in(app(webhookSecretNext="same", webhookSecret="same"), "app") == ("same",)


def test_webhook_secrets_are_read_whatever_is_beside_them() -> None:
    assert webhook_secrets_in(secret(appId="junk", privateKey="junk", webhookSecret="hush"), "app") == ("hush",)
    with pytest.raises(Stalled):
        webhook_secrets_in(secret("kubernetes.io/tls", webhookSecret="hush"), "app")
    with pytest.raises(Stalled):
        webhook_secrets_in(None, "app")


@pytest.mark.parametrize(
    "stored",
    [
        KEY,
        KEY.rstrip("\n"),
        f"\n  {KEY}\n\n",
        KEY.replace("\n", "\r\n"),
        KEY.replace("\n", "\\n"),
        KEY.replace("\n", "\\r\\n"),
        KEY.replace("\n", "\\n") + "\n",
    ],
)
def test_a_key_is_read_however_its_lines_end(stored: str) -> None:
    assert app_in(app(privateKey=stored), "app").private_key == KEY


def test_a_key_in_the_other_form_is_read() -> None:
    assert app_in(app(privateKey=pem("PRIVATE KEY")), "app").private_key == pem("PRIVATE KEY")


@pytest.mark.parametrize(
    ("found", "reason", "named"),
    [
        (None, Reason.SECRET_NOT_FOUND, ""),
        ({**app(), "type": "kubernetes.io/tls"}, Reason.SECRET_TYPE_WRONG, "Opaque"),
        ({"metadata": {}, "type": "Opaque"}, Reason.SECRET_KEY_MISSING, "appId"),
        ({"metadata": {}, "data": None}, Reason.SECRET_KEY_MISSING, "appId"),
        (secret(privateKey=KEY), Reason.SECRET_KEY_MISSING, "appId"),
        (secret(appId="42"), Reason.SECRET_KEY_MISSING, "privateKey"),
        (app(privateKey=""), Reason.SECRET_KEY_MISSING, "privateKey"),
        ({"metadata": {}, "data": {"appId": "!NDI="}}, Reason.APP_KEY_MALFORMED, "appId is not base64"),
    ],
)
def test_what_is_no_app_is_told_by_secret_and_key(found: dict[str, Any] | None, reason: Reason, named: str) -> None:
    with pytest.raises(Stalled) as trouble:
        app_in(found, "my-app")
    assert trouble.value.reason is reason
    assert "Secret my-app " in trouble.value.message
    assert named in trouble.value.message


@pytest.mark.parametrize(
    "value", ["0", "042", "-1", "+1", "4 2", " 42", "42\n\n", "4_2", "0x2a", "\u0664\u0662", "1" * 17, "app-slug", "\n"]
)
def test_an_id_is_decimal_digits_and_nothing_else(value: str) -> None:
    refused(app(appId=value), "appId")


@pytest.mark.parametrize(
    "value",
    [
        "hunter2hunter2",
        b"\xff\xfe",
        pem("PUBLIC KEY"),
        pem("EC PRIVATE KEY"),
        pem("ENCRYPTED PRIVATE KEY"),
        pem("OPENSSH PRIVATE KEY"),
        pem("CERTIFICATE"),
        KEY + KEY,
        KEY + CERTIFICATE,
        "Bag Attributes\n" + KEY,
        pem(body="Proc-Type: 4,ENCRYPTED\n\nZm9v"),
        KEY.removesuffix("-----END RSA PRIVATE KEY-----\n"),
        KEY.replace("END RSA", "END"),
        KEY.replace("\n", " "),
        "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n",
        pem(body="A" * 16 * 1024),
    ],
)
def test_a_key_is_one_block_of_bounded_size(value: str | bytes) -> None:
    refused(app(privateKey=value), "privateKey")


@pytest.mark.parametrize("value", [b"\xff\xfe", "s" * 257, "\n", "h\u00fcsh", "hu\0sh", "hu\nsh", "hush\x7f"])
@pytest.mark.parametrize("key", ["webhookSecret", "webhookSecretNext", "webhookSecretPrevious"])
def test_a_webhooks_secret_that_cannot_be_used_is_told(value: str | bytes, key: str) -> None:
    refused(app(**{key: value}), key)


def test_the_longest_webhook_secret_may_have_any_printable_character() -> None:
    longest = (bytes(range(0x20, 0x7F)) * 3)[:256].decode()
    assert webhook_secrets_in(app(webhookSecret=longest + "\r\n"), "app") == (longest,)


def refused(found: dict[str, Any], key: str) -> None:
    with pytest.raises(Stalled) as trouble:
        app_in(found, "my-app")
    assert trouble.value.reason is Reason.APP_KEY_MALFORMED
    assert f"Secret my-app has under {key} " in trouble.value.message


@given(
    st.sampled_from(["appId", "privateKey", "webhookSecret"]),
    # A value that the message could not hold by chance, wherever it breaks.
    st.binary(min_size=1, max_size=40).map(lambda more: b"Tr0ub4dor&3" + more) | st.just(KEY.encode() * 2),
)
def test_no_message_has_a_value_in_it(key: str, value: bytes) -> None:
    trouble = trouble_of(app(**{key: value}))
    if trouble is None:
        return
    assert "Tr0ub4dor" not in trouble.message
    assert BODY[:12] not in trouble.message
    # A cause would carry the value into a traceback.
    assert trouble.__cause__ is None
    assert trouble.__suppress_context__ or trouble.__context__ is None


def trouble_of(found: dict[str, Any]) -> Stalled | None:
    try:
        app_in(found, "app")
    except Stalled as trouble:
        return trouble
    return None


def test_an_app_does_not_show_its_secrets() -> None:
    shown = repr(app_in(app(webhookSecret="hush-hush"), "app"))
    assert "42" in shown
    assert "hush-hush" not in shown
    assert "PRIVATE" not in shown
    assert BODY[:12] not in shown


# --- the source ---


def test_the_source_stays_while_the_credential_does() -> None:
    edited = app(webhookSecret="another", privateKey=KEY.replace("\n", "\\n"), appId="42\n")
    edited["metadata"] |= {"resourceVersion": "2", "labels": {"team": "a"}}
    assert app_source(edited) == app_source(app())


@pytest.mark.parametrize(
    "other",
    [
        app(appId="43"),
        app(privateKey=pem(body="Zm9v")),
        app(privateKey=pem("PRIVATE KEY")),
        secret(uid="uid-other", appId="42", privateKey=KEY),
    ],
)
def test_another_secret_or_credential_is_another_source(other: dict[str, Any]) -> None:
    assert app_source(other) != app_source(app())


def test_a_source_is_a_uid_and_a_whole_hash() -> None:
    assert re.fullmatch("uid-app/[0-9a-f]{64}", app_source(app()))


# --- certificates ---


def config_map(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "ca"}, "data": data}


def binary(value: bytes) -> dict[str, Any]:
    return {"metadata": {"name": "ca"}, "binaryData": {"ca": base64.b64encode(value).decode()}}


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        ("Secret", secret(ca=CERTIFICATE)),
        ("ConfigMap", config_map(ca=CERTIFICATE)),
        ("ConfigMap", binary(CERTIFICATE.encode())),
        ("ConfigMap", binary(CERTIFICATE.replace("\n", "\r\n").encode())),
        ("ConfigMap", config_map(ca=CERTIFICATE.rstrip("\n"))),
        # Bundles name their certificates in between, in any alphabet; TLS libraries take ASCII alone.
        ("ConfigMap", config_map(ca=f"# Főtanúsítvány\n{CERTIFICATE}the end")),
    ],
)
def test_certificates_come_out_alone(kind: str, obj: dict[str, Any]) -> None:
    assert bundle_in(obj, kind=kind, name="ca", key="ca") == CERTIFICATE


def test_every_certificate_of_a_bundle_comes_out() -> None:
    second = pem("CERTIFICATE", "Zm9v")
    found = bundle_in(config_map(ca=f"one\n{CERTIFICATE}\ntwo\n{second}"), kind="ConfigMap", name="ca", key="ca")
    assert found == CERTIFICATE + second


def test_of_the_operators_own_file_pods_get_the_certificates_alone() -> None:
    assert certificates_to_copy(f"Főtanúsítvány\n{CERTIFICATE}{KEY}{CERTIFICATE}".encode()) == CERTIFICATE * 2
    assert certificates_to_copy(KEY.encode()) is None
    # A copy for each of ten thousand Projects.
    assert certificates_to_copy(CERTIFICATE.encode() * (MAX_COPIED_BYTES // len(CERTIFICATE) + 1)) is None


@pytest.mark.parametrize(
    ("kind", "obj", "reason"),
    [
        ("Secret", None, Reason.SECRET_NOT_FOUND),
        ("ConfigMap", None, Reason.SECRET_NOT_FOUND),
        ("Secret", secret("kubernetes.io/service-account-token", ca=CERTIFICATE), Reason.SECRET_TYPE_WRONG),
        ("Secret", secret(other=CERTIFICATE), Reason.SECRET_KEY_MISSING),
        ("ConfigMap", config_map(other=CERTIFICATE), Reason.SECRET_KEY_MISSING),
        ("ConfigMap", config_map(ca=""), Reason.SECRET_KEY_MISSING),
        ("ConfigMap", {"metadata": {}, "data": None, "binaryData": None}, Reason.SECRET_KEY_MISSING),
        ("ConfigMap", {"metadata": {}, "binaryData": {"ca": "not base64!"}}, Reason.CA_MALFORMED),
        ("Secret", {"metadata": {}, "data": {"ca": "not base64!"}}, Reason.CA_MALFORMED),
        ("ConfigMap", config_map(ca="hunter2hunter2"), Reason.CA_MALFORMED),
        ("Secret", secret(ca=b"\x30\x82\xff"), Reason.CA_MALFORMED),
        ("Secret", secret(ca=CERTIFICATE + KEY), Reason.CA_MALFORMED),
        ("Secret", secret(ca=CERTIFICATE + CERTIFICATE[:40]), Reason.CA_MALFORMED),
        ("ConfigMap", config_map(ca=pem("CERTIFICATE", "A" * 256 * 1024)), Reason.CA_MALFORMED),
    ],
)
def test_what_is_no_bundle_is_told_by_object_and_key(kind: str, obj: dict[str, Any] | None, reason: Reason) -> None:
    with pytest.raises(Stalled) as trouble:
        bundle_in(obj, kind=kind, name="my-ca", key="ca")
    assert trouble.value.reason is reason
    assert f"{kind} my-ca " in trouble.value.message
    assert "hunter2" not in trouble.value.message
    assert BODY[:12] not in trouble.value.message
