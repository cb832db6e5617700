"""A namespace for the tests of the kinds."""

import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.kinds.api import Kube, Objects


@pytest.fixture(scope="module")
def objects(kube: Kube) -> Iterator[Objects]:
    """The three kinds in a namespace of this module's own."""
    namespace = f"kinds-{uuid.uuid4().hex[:8]}"
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    assert status == 201, body
    yield Objects(kube, namespace)
    kube.request("DELETE", f"/api/v1/namespaces/{namespace}")
