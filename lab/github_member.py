"""The lab's GitHub as the supervisor sees it: a process that says in a file where it serves. It is never imported."""

import json
import sys
from pathlib import Path

from lab.errors import LabError, UsageError
from lab.folder import Folder, write
from lab.member import Member

PACKAGE = Path(__file__).with_name("github")
VARIABLES = {
    "MOORING_GITHUB_API_URL": "api_url",
    "MOORING_GITHUB_CA_FILE": "ca_file",
    "LAB_GITHUB_CONTROL_URL": "control_url",
    "LAB_GITHUB_GIT_URL": "git_url",
}


def require() -> None:
    """Say early when this checkout has no lab GitHub."""
    if not PACKAGE.joinpath("__main__.py").is_file():
        raise UsageError(f"there is no {PACKAGE / '__main__.py'}: leave GitHub out with --without-github")


def member(folder: Folder, address: str, token: str) -> Member:
    """The process; its control API takes the lab's admin token."""
    token_file, ready_file = folder.secrets / "github-control.token", _ready_file(folder)
    write(token_file, token)
    command = (
        *(sys.executable, "-m", "lab.github", "--dir", str(folder.github), "--address", address),
        *("--port", "0", "--control-port", "0", "--token-file", str(token_file), "--ready-file", str(ready_file)),
    )
    environment = {"PYTHONPATH": str(PACKAGE.parent.parent)}
    return Member("github", command, ready_file.exists, forks=True, environment=environment)


def variables(folder: Folder) -> dict[str, str]:
    """Where it serves, as the variables of the env file."""
    path = _ready_file(folder)
    try:
        content = json.loads(path.read_text())
        return {variable: str(content[key]) for variable, key in VARIABLES.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path} must be JSON with {', '.join(VARIABLES.values())}: {error!r}") from error


def _ready_file(folder: Folder) -> Path:
    return folder.settings / "github.json"
