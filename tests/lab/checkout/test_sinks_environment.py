"""What the container's own environment and home may say to bring the credential elsewhere: it is not listened to.

Plain git is put into the very same surroundings first, and the sink, or a file, has the token then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.lab.checkout.luring import Lure
from tests.lab.checkout.site import OWNER, Site, submodule

TOKEN = {OWNER}


def demanding(site: Site) -> str:
    """Make a repository that is fetched with git and over plain HTTPS, and return its commit."""
    lib = site.commit("lib", {"l": "1\n"})
    files = {
        ".gitattributes": "*.bin filter=lfs\n",
        "a.bin": site.server.large_files.put(site.repository("web"), b"large"),
        ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ../lib.git\n',
        "lib": submodule(lib),
    }
    return site.commit("web", files)


async def in_these_surroundings(lure: Lure, folder: Path, environment: Mapping[str, str]) -> None:
    """Hold that plain git gives the token away, and that the checkout works and does not."""
    site, revision = lure.site, demanding(lure.site)
    await lure.unguarded(environment=environment)
    assert lure.caught(_everything(folder)) == TOKEN, "the lure does not work"
    lure.sink.forget()
    for path in _files(folder / "written"):
        path.unlink()
    site.credential.write_text(site.tokens[OWNER])
    arguments = (
        f"--url={site.url('web')}", f"--revision={revision}", f"--destination={site.workspace}",
        f"--credential-file={site.credential}", f"--ca-file={site.server.ca_file}", "--lfs", "--submodules",
    )  # fmt: skip
    code, out, err = await site.process(*arguments, **environment)
    assert code == 0, err
    assert (site.workspace / "a.bin").read_bytes() == b"large"
    lure.nobody_came()
    assert lure.caught(_everything(folder), _everything(site.workspace), out.encode(), err.encode()) == set()
    assert _files(folder / "written") == []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in _files(folder))


async def test_proxies(lure: Lure, tmp_path: Path) -> None:
    """Under each of the names that programs know, a web proxy and a SOCKS proxy."""
    web = lure.sink.url(scheme="http", userinfo="jane:x")
    kinds = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
    await in_these_surroundings(lure, tmp_path / "none", dict.fromkeys(kinds, web))


async def test_a_socks_proxy(lure: Lure, tmp_path: Path) -> None:
    socks = lure.sink.url(scheme="socks5h")
    await in_these_surroundings(lure, tmp_path / "none", {"ALL_PROXY": socks, "all_proxy": socks})


async def test_configuration_by_variables(lure: Lure, tmp_path: Path) -> None:
    instead = f"url.{lure.sink.url('/')}.insteadOf"
    given = {
        "http.proxy": lure.sink.url(scheme="http"),
        instead: f"https://{lure.origin}/",
        "http.sslVerify": "false",
        "http.followRedirects": "true",
        "credential.helper": f"!curl {lure.sink.host}/$1",
    }
    environment = {"GIT_CONFIG_COUNT": str(len(given))}
    for number, (key, value) in enumerate(given.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    environment["GIT_CONFIG_PARAMETERS"] = " ".join(f"'{key}'='{value}'" for key, value in given.items())
    await in_these_surroundings(lure, tmp_path / "none", environment)


async def test_configuration_in_files(lure: Lure, tmp_path: Path) -> None:
    """In the home, where git and curl look for it, and where variables say that it is."""
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    instead = f'[url "{lure.sink.url("/")}"]\n\tinsteadOf = https://{lure.origin}/\n'
    for path in (home / ".gitconfig", home / ".config" / "git" / "config", home / "system"):
        path.write_text(f"{instead}[http]\n\tproxy = {lure.sink.url(scheme='http')}\n")
    (home / ".netrc").write_text(f"machine 127.0.0.1 login x password {lure.site.tokens['eve']}\n")
    (home / ".curlrc").write_text(f"proxy = {lure.sink.host}\n")
    environment = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "CURL_HOME": str(home),
        "GIT_CONFIG_SYSTEM": str(home / "system"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
    }
    await in_these_surroundings(lure, tmp_path / "none", environment)
    # Nor was anybody else's credential shown where ours belongs.
    assert "eve" not in {credential for _, credential in await lure.site.requests()}


async def test_traces_and_programs(lure: Lure, tmp_path: Path) -> None:
    """What writes down all that goes over the wire, or opens it to whoever listens; and programs to be asked."""
    written = tmp_path / "made" / "written"
    written.mkdir(parents=True)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho ran >> {written}/ran\n")
    program.chmod(0o755)
    traces = ("GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE_SETUP")
    programs = ("GIT_ASKPASS", "SSH_ASKPASS", "GIT_PROXY_COMMAND", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EDITOR", "PAGER")
    environment = {
        **{name: str(written / name) for name in (*traces, "SSLKEYLOGFILE")},
        **dict.fromkeys(programs, str(program)),
        "GIT_TRACE_REDACT": "0",
        "GIT_SSL_NO_VERIFY": "1",
        "GIT_CURL_VERBOSE": "1",
    }
    await in_these_surroundings(lure, tmp_path / "made", environment)
