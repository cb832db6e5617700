"""The few requests that the lab itself makes to its API server, and the health checks of all its servers.

One short connection a request: the lab asks seldom. Tests and product use a real client instead.
"""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from lab.errors import LabError
from lab.kubernetes.kubeconfig import Access

# Whether somebody is well is asked again soon; what is asked once may take as long as a busy machine makes it.
TIMEOUT_SECONDS, REQUEST_SECONDS = 5.0, 30.0


class Api:
    """A small JSON client with a bearer token."""

    def __init__(self, access: Access) -> None:
        self._host = urlsplit(access.server).netloc
        self._token = access.token
        self._tls = ssl.create_default_context(cadata=access.ca)

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, seconds: float = REQUEST_SECONDS
    ) -> tuple[int, bytes]:
        """Send it and return status and body; OSError when nobody answers."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=seconds)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self._host} broke off: {error!r}") from error
        finally:
            connection.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None while it does not exist."""
        status, body = self.request("GET", path)
        return None if status == http.client.NOT_FOUND else _decoded(f"GET {path}", status, body)

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        status, answer = self.request("POST", path, body)
        return _decoded(f"POST {path}", status, answer)

    def healthy(self, path: str) -> bool:
        """Whether the path answers 200; nobody answering yet counts as no."""
        try:
            return self.request("GET", path, seconds=TIMEOUT_SECONDS)[0] == http.client.OK
        except OSError:
            return False


def healthy(port: int, path: str, tls: ssl.SSLContext) -> bool:
    """The same for a server that asks for no token."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _decoded(what: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(body)
    except ValueError:
        content = {}
    if status >= http.client.BAD_REQUEST:
        raise LabError(f"the lab's API server answered {status} to {what}: {content.get('message', 'no reason given')}")
    return content
