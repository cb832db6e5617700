"""As much of GitHub's `gh` as the pages use, since the lab does not have it: `gh api [--hostname H] PATH --jq .A.B`.

It asks the lab's GitHub. So the path and the answer's fields are tested; the real program's options are its own affair.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
from typing import Any

import httpx


def main(arguments: list[str]) -> int:
    """Ask, and print the part of the answer that was wished for."""
    parser = argparse.ArgumentParser(prog="gh")
    parser.add_argument("command", choices=["api"])
    parser.add_argument("--hostname")
    parser.add_argument("path")
    parser.add_argument("--jq", required=True)
    asked = parser.parse_args(arguments)
    url = os.environ["LAB_API_URL"]
    if asked.hostname and httpx.URL(url).netloc.decode() != asked.hostname:
        sys.stderr.write(f"nobody knows the host {asked.hostname}\n")
        return 1
    trusted = ssl.create_default_context(cafile=os.environ["LAB_CA_FILE"])
    headers = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("GH_TOKEN")) else {}
    answer = httpx.get(f"{url}/{asked.path}", headers=headers, verify=trusted, trust_env=False, timeout=30)
    answer.raise_for_status()
    found: Any = answer.json()
    for name in asked.jq.strip(".").split("."):
        found = found[name]
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
