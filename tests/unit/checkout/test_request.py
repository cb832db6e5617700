"""The arguments: what the operator renders is understood, and everything else is refused in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mooring.__main__ import _parser, main
from mooring.checkout import command
from mooring.checkout.failures import BadRequest
from mooring.checkout.request import Request, request
from mooring.domain.manifests import checkout
from mooring.domain.manifests.checkout import CheckoutSource
from mooring.domain.origins import Host
from mooring.domain.resources.project import SourceSpec
from mooring.domain.resources.workload import WorkloadSpec

SHA = "0123456789" * 4
WORKLOAD = WorkloadSpec(image="x")
GOOD: dict[str, Any] = {"url": "https://git.example/acme/web.git", "revision": SHA, "destination": "/workspace"}


def as_kubernetes_does(argument: str) -> str:
    """Replace what Kubernetes replaces in an argument."""
    return argument.replace("$$", "$")


@pytest.mark.parametrize("path", [None, "src", "--url=x", "$(HOME)/$x", "a b/ü*", "-"])
def test_what_the_operator_renders_is_what_is_understood(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides of the contract, the parser and Kubernetes between them."""
    source = CheckoutSource(
        GOOD["url"],
        SHA,
        "image",
        path=path,
        submodules=path is not None,
        lfs=path == "src",
        credential_secret="s",
        large_file_hosts=("s3.example", "s3.example:8443"),
    )
    template = {
        "metadata": {},
        "spec": {"initContainers": [checkout.container(source, WORKLOAD)], "volumes": checkout.volumes(source)},
    }
    checkout.add_origin(template["spec"])
    checkout.add_authorities(template, source)
    checkout.add_large_file_hosts(template, source)
    rendered = template["spec"]["initContainers"][0]["args"]
    asked: list[Request] = []

    def ask(wanted: Request) -> int:
        asked.append(wanted)
        return 7

    monkeypatch.setattr(command, "run", ask)
    assert main([as_kubernetes_does(argument) for argument in rendered]) == 7
    assert asked == [
        Request(
            url=GOOD["url"],
            revision=SHA,
            destination=Path(checkout.DESTINATION),
            path=path,
            credential_file=Path(checkout.CREDENTIAL_FOLDER, "token"),
            submodules=path is not None,
            lfs=path == "src",
            ca_file=Path(checkout.AUTHORITIES_FOLDER, "ca.crt"),
            lfs_stores=frozenset({Host("s3.example"), Host("s3.example", 8443)}),
        )
    ]


def test_authorities_that_are_not_there_are_no_matter(tmp_path: Path) -> None:
    """A pod names a file that comes and goes with a setting, so that the setting rolls nothing."""
    file = tmp_path / "ca.crt"
    wanted = request(**GOOD, ca_file=str(file))
    assert wanted.authorities() is None
    file.write_text("")
    assert wanted.authorities() is None
    file.write_text("-- a certificate --")
    assert wanted.authorities() == file


@pytest.mark.parametrize("path", ["a", "./a//b/", "a b", "ü/*", "--x", "a/...", "\u00a0", "x" * 512])
def test_a_path_that_the_project_may_name_is_taken(path: str) -> None:
    assert SourceSpec.model_validate({"github": {"repository": "a/b"}, "path": path}).path == path
    request(**GOOD, path=path)


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        ("url", "http://git.example/x", "--url: a URL must start with https://"),
        ("url", "https://git.example/", "names no repository"),
        ("url", "https://u:ghp_secret@git.example/x", "must not carry a user name"),
        ("url", "https://git.example/x\r\nHost: y", "printable"),
        ("url", "https://git.example/../x", "path that is not plain"),
        ("url", "ext::sh -c x", "https://"),
        ("revision", "main", "--revision must be a whole commit id"),
        ("revision", SHA[:39], "whole commit id"),
        ("revision", f"-{SHA[1:]}", "whole commit id"),
        ("revision", SHA + "\n", "whole commit id"),
        ("revision", SHA.replace("1", "A"), "whole commit id"),
        ("destination", "workspace", "--destination=workspace must be an absolute path"),
        ("destination", "/a/../b", "absolute"),
        ("destination", "/a\0", "absolute"),
        ("credential_file", "token", "--credential-file=token must be an absolute path"),
        ("ca_file", "ca", "--ca-file=ca must be"),
        ("path", "/etc", "--path=/etc must be a path inside"),
        ("path", "a/../../b", "inside the repository"),
        ("path", "a\nb", "inside the repository"),
        ("path", "a\\b", "inside the repository"),
        ("path", "x" * 513, "at most 512"),
        ("lfs_stores", ["x/y"], "--lfs-store: 'x/y' is not a host"),
    ],
)
def test_what_is_wrong_is_told(argument: str, value: object, says: str) -> None:
    with pytest.raises(BadRequest, match=r"[a-z]") as raised:
        request(**{**GOOD, argument: value})
    assert says in str(raised.value)
    assert "ghp_secret" not in str(raised.value)
    assert str(raised.value).isprintable()


def test_the_forms_that_are_one() -> None:
    assert request(**GOOD, path="./").path is None
    assert request(**GOOD, path="a/./b//").path == "a/b"
    assert request(**{**GOOD, "url": "HTTPS://Git.Example:443/acme/web.git/"}).url == GOOD["url"]
    assert request(**{**GOOD, "revision": SHA + SHA[:24]}).revision == SHA + SHA[:24]
    assert request(**{**GOOD, "url": "https://a.b:8443/x"}).host == Host("a.b", 8443)
    assert request(**GOOD, lfs_stores=["S.example"]).lfs_stores == {Host("s.example")}


@pytest.mark.parametrize("arguments", [[], ["--url=https://a.b/c"], ["--ur=https://a.b/c"], ["x"], ["--submodules=1"]])
def test_arguments_that_are_missing_or_unknown_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkout", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "mooring checkout --help" in err or "mooring --help" in err


def test_each_option_has_a_word_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["checkout", "--help"])
    told = capsys.readouterr().out
    for option in ("--url", "--revision", "--destination", "--path", "--credential-file", "--lfs-store", "--ca-file"):
        assert option in told


def test_it_starts_with_next_to_nothing() -> None:
    """Every start of a pod waits for it: nothing beyond the standard library, and little of ours."""
    script = (
        "import sys; from mooring.checkout import command; import mooring.__main__;"
        "print(*sorted(n for n in sys.modules if not n.startswith('_')))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    loaded = set(told.split())
    ours = {name for name in loaded if name.startswith("mooring.") and not name.startswith("mooring.checkout")}
    assert ours == {
        "mooring.__main__", "mooring.domain", "mooring.domain.names", "mooring.domain.origins",
        "mooring.domain.token_shape",
    }  # fmt: skip
    assert not {name.partition(".")[0] for name in loaded} & {"pydantic", "yaml", "aiohttp", "httpx", "kopf", "asyncio"}
