"""Where access to a cluster comes from, and how a bad one is told without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.cluster.connection import ConfigurationError, Connection

PLANTED = "planted-token"


async def test_without_a_source_it_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="set KUBECONFIG"):
        await Connection.open({})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "just a word",
        f"users: [{{token: {PLANTED}}}",
        f"users:\n- name: u\n  user: {{token: {PLANTED}}}\ncurrent-context: none\n",
        f"current-context: c\ncontexts: {PLANTED}\n",
    ],
)
async def test_a_broken_kubeconfig_is_told_without_its_content(content: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="kubeconfig") as error:
        await Connection.open({"KUBECONFIG": str(path)})
    assert PLANTED not in f"{error.value!r} {error.value.__cause__!r}"


async def test_a_missing_kubeconfig_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        await Connection.open({"KUBECONFIG": str(tmp_path / "missing")})


async def test_a_pod_without_a_token_is_told() -> None:
    with pytest.raises(ConfigurationError, match="the pod's service account"):
        await Connection.open({"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"})
