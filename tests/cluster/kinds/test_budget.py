"""The API server estimates what rules may cost at most; there must be room left for another version's estimate."""

from typing import Any

import pytest
import yaml

from mooring import crds
from tests.cluster.kinds.api import APPLY, Kube

MAXIMA = frozenset({"maxItems", "maxProperties", "maxLength"})
ROOM = 1.5
"""How much larger every maximum could be."""


def _enlarged(node: Any) -> Any:
    if isinstance(node, list):
        return [_enlarged(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: int(value * ROOM) if key in MAXIMA and isinstance(value, int) else _enlarged(value)
        for key, value in node.items()
    }


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in crds.files().items()])
def test_larger_maxima_would_still_be_within_the_budget(kube: Kube, text: str) -> None:
    definition = _enlarged(yaml.safe_load(text))
    url = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}"

    status, body = kube.request("PATCH", f"{url}?dryRun=All&force=true&fieldManager=budget", definition, APPLY)

    assert status == 200, body["message"]
