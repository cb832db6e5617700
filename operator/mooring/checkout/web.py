"""Single requests, for what git is not asked: where large files are, and where a repository went."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from mooring.checkout import verdicts
from mooring.checkout.failures import Failed, Passing
from mooring.checkout.request import Request
from mooring.checkout.timing import Deadline
from mooring.checkout.words import basic
from mooring.domain.origins import Host

TIMEOUT = 60.0
"""Seconds without a byte."""
CHUNK = 256 * 1024
REDIRECTS = frozenset({301, 302, 307, 308})
_AGENT = "mooring-checkout"


class Web:
    """Asks one host at a time, and trusts whom the request says."""

    def __init__(self, request: Request, deadline: Deadline) -> None:
        self._request = request
        self._deadline = deadline
        self._trust: ssl.SSLContext | None = None

    @contextmanager
    def answered(
        self,
        host: Host,
        target: str,
        headers: dict[str, str],
        what: str,
        *,
        body: bytes | None = None,
        redirects: bool = False,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request to one host and give the answer: a success, or where it is wanted a redirect.

        Nothing is followed.
        """
        if self._trust is None:
            self._trust = ssl.create_default_context()
            if (ca_file := self._request.authorities()) is not None:
                self._trust.load_verify_locations(ca_file)
        timeout = max(min(TIMEOUT, self._deadline.left()), 1)
        connection = http.client.HTTPSConnection(host.name, host.port, timeout=timeout, context=self._trust)
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, target, body=body, headers={"User-Agent": _AGENT, **headers})
            answer = connection.getresponse()
            if answer.status != 200 and not (redirects and answer.status in REDIRECTS):
                raise verdicts.of_status(answer.status, what=what, host=str(host))
            yield answer
        except ssl.SSLCertVerificationError:
            raise Failed(
                f"the certificate of {host} is not trusted here. Correct it there, or trust its authority"
            ) from None
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as problem:
            raise Passing(f"{host} cannot be reached for {what}, or broke off ({type(problem).__name__})") from None
        except OSError as problem:
            if problem.errno is not None and problem.filename is not None:
                raise
            raise Passing(f"{host} cannot be reached for {what} ({problem.strerror})") from None
        finally:
            connection.close()


def credential_header(token: str | None) -> dict[str, str]:
    """Return the header that gives a token to the host that is asked."""
    return {} if token is None else {"Authorization": f"Basic {basic(token)}"}
