"""Where binaries come from, with tiny stand-ins for the compiler, the archive and the cache. Nothing is fetched."""

import hashlib
import http.server
import io
import os
import platform
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml

from lab import binaries
from lab.binaries import archive, build, go, tools
from lab.errors import LabError, UsageError
from tests.unit.repository.tree import ROOT

VERSION = tools.KUBERNETES.version
ARCHIVED = ("etcd", "kube-apiserver", "kubectl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no word from the caller's environment."""
    path = tmp_path / "cache"
    monkeypatch.setenv("MOORING_CACHE_DIR", str(path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    # A port that nobody serves: the archive is out of reach unless a test serves one.
    monkeypatch.setattr(archive, "INDEX", "http://127.0.0.1:9/index.yaml")
    return path


def program(path: Path, script: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def put_in_cache(name: str) -> Path:
    return program(tools.TOOLS[name].cached())


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A go command of today that "builds" by writing down how it was called."""
    script = """
if [ "$1" = env ]; then echo go1.99.0; exit 0; fi
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n# %s %s\\n' "$CGO_ENABLED" "${GOOS:-unset}" > "$2"; chmod 755 "$2"
"""
    path = program(tmp_path / "go-bin" / "go", script)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GOOS", "windows")
    return path


def test_versions_come_from_the_modules() -> None:
    assert all(tool.module.version.startswith("v") for tool in tools.TOOLS.values())
    assert all(tool.package in tool.module.go_mod for tool in tools.TOOLS.values())
    assert f"gitVersion={VERSION}" in tools.KUBERNETES.linker_flags
    assert tools.KUBERNETES.go_version >= (1, 20)


def test_an_older_api_server_is_made_for_those_alone_who_ask_for_it() -> None:
    asked = {name for name, tool in tools.TOOLS.items() if tool.by_name_alone}
    assert asked == set(tools.API_SERVERS.values()) - {"kube-apiserver"}
    assert set(binaries.USUAL) == tools.TOOLS.keys() - asked


def test_the_releases_that_are_supported_are_those_whose_api_servers_there_are() -> None:
    versions = {release: tools.TOOLS[name].module.version for release, name in tools.API_SERVERS.items()}
    assert [release for release, version in versions.items() if not version.startswith(f"v{release}.")] == []
    newest, oldest = versions
    assert newest == binaries.NEWEST
    for page in ("README.md", "docs/guide/install.md"):
        assert f"Kubernetes {oldest} to {newest}" in (ROOT / page).read_text(encoding="utf-8"), page
    chart = yaml.safe_load((ROOT / "helm/mooring/Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == f">={oldest}.0-0"
    # Minutes of building are for the tests that need it.
    targets = (ROOT / "Makefile").read_text(encoding="utf-8").split("\n\n")
    assert [it.split(":")[1].split()[-1] for it in targets if tools.API_SERVERS[oldest] in it] == ["test-scale"]


def test_the_key_changes_with_whatever_a_binary_is_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tools.Module("kwok", "sigs.k8s.io/kwok")
    first = module.key
    assert tools.Module("kwok", "sigs.k8s.io/kwok").key == first
    assert replace(module, version_variables=("example.test/version",)).key != first
    assert replace(module, tags=("small",)).key != first
    assert "-tags=small" in replace(module, tags=("small",)).flags
    with monkeypatch.context() as change:
        change.setattr(tools, "BUILD_FLAGS", ("-race",))
        assert replace(module).key != first
    with monkeypatch.context() as change:
        change.setattr(platform, "machine", lambda: "riscv64")
        assert replace(module).key != first
    for name in ("go.mod", "go.sum", "main.go"):
        copied = tmp_path / name / "kwok"
        copied.mkdir(parents=True)
        for file in ("go.mod", "go.sum"):
            (copied / file).write_text((module.folder / file).read_text() + ("\n// more\n" if file == name else ""))
        if name == "main.go":
            (copied / name).write_text("package main\n")
        with monkeypatch.context() as change:
            change.setattr(tools, "MODULES", copied.parent)
            assert replace(module).key != first


def test_named_assets_come_first_and_the_cache_fills_the_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "assets" / "etcd")
    (tmp_path / "assets" / "kubectl").write_text("not executable")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(own.parent))
    cached = {name: put_in_cache(name) for name in ("etcd", "kubectl")}
    assert binaries.ensure(["etcd", "kubectl"]) == {"etcd": own, "kubectl": cached["kubectl"]}


def test_assets_that_are_no_folder_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/no/such/folder")
    with pytest.raises(UsageError, match="KUBEBUILDER_ASSETS names /no/such/folder"):
        binaries.find("etcd")


def test_an_unknown_binary_is_refused() -> None:
    with pytest.raises(UsageError, match="no binary 'ectd': choose from etcd"):
        binaries.find("ectd")


def test_what_is_missing_is_built_into_the_cache(
    compiler: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = binaries.find("kwok")
    assert path == tools.TOOLS["kwok"].cached()
    assert path.read_text() == "#!/bin/sh\n# 0 unset\n"
    progress = capfd.readouterr().err
    assert "building kwok (1 of 1; about" in progress
    assert "built kwok in" in progress
    assert sorted(entry.name for entry in (cache / "bin").iterdir()) == [".lock", path.parent.name]
    compiler.unlink()
    assert binaries.find("kwok") == path


def test_a_failed_build_shows_why_and_leaves_nothing(compiler: Path, cache: Path) -> None:
    program(compiler, '[ "$1" = env ] && { echo go1.99.0; exit; }; echo "no space left on device" >&2; exit 1')
    with pytest.raises(LabError, match=r"(?s)building kwok failed; .*build-kwok\.log ends with:.*no space left"):
        binaries.find("kwok")
    assert not [path for path in (cache / "bin").rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_long_build_gives_a_sign_of_life(
    compiler: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "HEARTBEAT_SECONDS", 0.02)
    compiler.write_text(compiler.read_text().replace("while", "sleep 0.3\nwhile", 1))
    binaries.find("kwok")
    assert "still building kwok:" in capfd.readouterr().err


def test_builders_take_turns(compiler: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found: list[Path] = []
    with build.lock():
        second = threading.Thread(target=lambda: found.append(binaries.find("kwok")))
        second.start()
        progress = ""
        while "waiting for another process" not in progress and second.is_alive():
            progress += capfd.readouterr().err
        assert second.is_alive()
        first = put_in_cache("kwok")
    second.join(10)
    assert found == [first]
    assert "building" not in progress + capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go1.26.3", (1, 26, 3)),
        ("go1.26", (1, 26, 0)),
        ("go1.26rc1\n", (1, 25, 0)),
        ("devel go1.27", None),
        ("", None),
    ],
)
def test_go_versions(text: str, version: tuple[int, ...] | None) -> None:
    assert go.parse_version(text) == version


def test_a_go_that_is_too_old_gives_way_to_the_pinned_one(cache: Path, compiler: Path) -> None:
    program(compiler, "echo go1.19.2")
    key = hashlib.sha256(go.REQUIREMENTS.read_bytes()).hexdigest()[:16]
    pinned = program(cache / "go" / key / "go" / "bin" / "go", "echo go1.27.3")
    assert go.command((1, 26, 0)) == pinned
    with pytest.raises(LabError, match=r"pins a Go that is too old: 1\.28\.0 or newer"):
        go.command((1, 28, 0))
    program(compiler, "echo go1.26.0")
    assert go.command((1, 26, 0)) == compiler


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server without a log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served on loopback, and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def publish(
    site: tuple[Path, str], *, names: tuple[str, ...] = ("etcd", "kube-apiserver", "kubectl"), **change: str
) -> str:
    """Publish an archive with these binaries; return the address of its index."""
    folder, address = site
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in (*names, "../../escape", "README"):
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    content = packed.getvalue()
    (folder / "archive.tar.gz").write_bytes(content)
    entry = {"hash": hashlib.sha512(content).hexdigest(), "selfLink": f"{address}/archive.tar.gz"} | change
    index = {"releases": {VERSION: {f"envtest-{VERSION}-{tools.target()}.tar.gz": entry}}}
    (folder / "index.yaml").write_text(yaml.safe_dump(index))
    return f"{address}/index.yaml"


def test_the_archive_fills_the_cache(site: tuple[Path, str], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "INDEX", publish(site))
    found = binaries.ensure(ARCHIVED)
    assert {name: path.read_text() for name, path in found.items()} == {name: name for name in found}
    assert {path.parent for path in found.values()} == {archive.folder()}
    assert sorted(path.name for path in archive.folder().iterdir()) == sorted(found)
    assert [path.name for path in cache.rglob("escape")] == []


def test_an_archive_that_is_not_what_was_published_is_not_used(site: tuple[Path, str]) -> None:
    assert archive.fetch(publish(site, hash="0" * 128)) == "its checksum is not the published one"
    assert not archive.folder().exists()


def test_an_archive_that_lacks_something_is_not_used(site: tuple[Path, str]) -> None:
    assert archive.fetch(publish(site, names=("etcd",))) == "it lacks kube-apiserver, kubectl"
    assert not archive.folder().exists()


def test_an_archive_from_elsewhere_than_the_web_is_not_used(site: tuple[Path, str]) -> None:
    reason = archive.fetch(publish(site, selfLink="file:///etc/passwd"))
    assert reason
    assert "neither https nor http" in reason


def test_a_version_without_archive_is_said(site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    index = publish(site)
    (site[0] / "index.yaml").write_text("releases: {v1.0.0: {}}\n")
    assert archive.fetch(index) == f"there is none for Kubernetes {VERSION} on {tools.target()}"


def test_without_internet_the_archive_is_no_obstacle(compiler: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert binaries.find("etcd") == tools.TOOLS["etcd"].cached()
    assert "the envtest archive is no help" in capfd.readouterr().err
