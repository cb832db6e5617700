"""The folder with the master keys: what counts as one, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.services.master_keys import BadMasterKeys, MasterKeys
from mooring.services.webhook_secret import webhook_secret
from mooring.settings import Settings, SettingsError
from tests.unit.services.platforms import platform

KEY = b"correct horse battery staple and more\n"


def test_each_file_is_a_key(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(KEY)
    (tmp_path / "12").write_bytes(bytes(range(1, 33)))
    # As Kubernetes mounts a Secret.
    (tmp_path / "..data").mkdir()
    assert MasterKeys(tmp_path).read() == {1: KEY.rstrip(b"\n"), 12: bytes(range(1, 33))}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "has no file"),
        ({"1": b"hunter2"}, "has a file 1 of fewer than 32 bytes"),
        ({"1": KEY, "2": b"hunter2" * 600}, "has a file '2' of more than 4096 bytes"),
        ({str(number): KEY for number in range(1, 102)}, "has more than 100 files"),
    ],
)
def test_what_is_no_key_is_told_without_a_byte_of_it(tmp_path: Path, files: dict[str, bytes], told: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadMasterKeys) as problem:
        MasterKeys(tmp_path).read()
    assert str(problem.value).startswith(f"names a folder that {told}")
    assert "hunter2" not in str(problem.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(BadMasterKeys, match="cannot be read"):
        MasterKeys(tmp_path).read()


def test_the_operator_does_not_start_with_keys_that_cannot_be_used(tmp_path: Path) -> None:
    environment = {
        "MOORING_NAMESPACE": "mooring-system",
        "MOORING_CHECKOUT_IMAGE": "registry.example.com/m:1",
        "MOORING_MASTER_KEY_DIR": str(tmp_path),
    }
    with pytest.raises(SettingsError, match="MOORING_MASTER_KEY_DIR names a folder that has no file"):
        webhook_secret(Settings.load(environment), platform(), lambda: None)
