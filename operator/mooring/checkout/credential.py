"""The credential's file, read anew for each attempt, and the attempts.

The kubelet replaces a mounted Secret late: for up to two minutes the file may still hold a token that has expired. So
a refusal is no reason to give up while another value may come.

The file may also hold a token that is for elsewhere: the Secret keeps its name when the Project's source moves, and a
pod of the former one reads it too. So the file beside it, if there is one, says which origin the token is for.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mooring.checkout import limits
from mooring.checkout.failures import Denied, Failed, Passing
from mooring.checkout.timing import Clock, Deadline
from mooring.checkout.words import Teller, basic, named
from mooring.domain import names, token_shape

Result = TypeVar("Result")


ADVICE = "See the Project's conditions, and whether the credential may read the repository"
FORMER = "This pod is of a former source of the Project: it ends when the new rollout is through"
_MAX_ORIGIN = 512
_LOOKS = 3
"""How often in a row the files may be replaced while they are read."""


class CredentialFile:
    """A file with a token for one origin, which somebody else replaces."""

    def __init__(self, path: Path, teller: Teller, origin: str) -> None:
        self.path = path
        self._teller = teller
        self._origin = origin
        # Set where the token that was found last is for elsewhere: it is not used, and this says so.
        self.mistaken: str | None = None

    def read(self) -> str | None:
        """Return the token that is there now, None where there is none; it is in no line that is said from now on.

        The kubelet replaces all files at once, by a link to another folder, and only then removes the former one: what
        was read is of one piece where the link has not moved since.
        """
        token = None
        for _ in range(_LOOKS):
            file = self._place()
            token = self._read(file)
            if self._place() == file:
                break
        else:
            return None
        if token is not None:
            self._teller.know(token)
        return token

    def _place(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _read(self, file: Path) -> str | None:
        self.mistaken = None
        try:
            origin = _first(file.with_name(names.ORIGIN_KEY), _MAX_ORIGIN)
        except FileNotFoundError:
            # Nobody says what it is for but whoever put it there.
            origin = self._origin.encode()
        except OSError:
            return None
        if origin != self._origin.encode():
            found = named(origin.decode(errors="replace"))
            self.mistaken = f"the credential in {self.path} is for {found}, and this pod fetches from {self._origin}"
            return None
        try:
            return token_shape.parse(_first(file, token_shape.MAX_LENGTH + 3))
        except OSError:
            return None


def _first(file: Path, length: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(length)


def configuration(origin: str, token: str) -> str:
    """Return the piece of git's configuration that gives a token to one origin and to no other."""
    return f'[http "{origin}/"]\n\textraHeader = "Authorization: Basic {basic(token)}"\n'


class Attempts:
    """Does what needs the server, again where that helps."""

    def __init__(self, file: CredentialFile | None, clock: Clock, deadline: Deadline, teller: Teller) -> None:
        self._file = file
        self._clock = clock
        self._deadline = deadline
        self._teller = teller
        self._wait_ends = float("inf")
        # The token that the server took last.
        self._taken: str | None = None

    def make(self, attempt: Callable[[str | None], Result]) -> Result:
        """Call with the token of the moment until it is done; raise Failed."""
        passed = 0
        while True:
            self._deadline.check()
            token = self._token()
            try:
                result = attempt(token)
            except Denied as denied:
                self._outlast(denied, token)
            except Passing as problem:
                passed += 1
                self._pause(problem, passed)
            else:
                self._taken = token
                return result

    def _token(self) -> str | None:
        if self._file is None:
            return None
        token = self._file.read()
        if token is None:
            self._await_other(None, self._file.mistaken or f"{self._file.path} holds no GitHub token")
            token = self._file.read()
        return token

    def _outlast(self, denied: Denied, token: str | None) -> None:
        """Wait for another token where that may help; raise Failed where it does not."""
        if self._file is None:
            raise Failed(f"{denied}. There is no credential: name one for the Project") from None
        # A token that was good a moment ago does not lag behind: it has no right to this repository.
        if denied.status != 401 and token == self._taken:
            raise Failed(f"{denied}. The credential is good, so give it access to that repository") from None
        self._await_other(token, str(denied))

    def _await_other(self, token: str | None, why: str) -> None:
        assert self._file is not None  # noqa: S101 - there is nothing to wait for without
        if self._wait_ends == float("inf"):
            self._wait_ends = self._clock.now() + limits.CREDENTIAL_SECONDS
            self._teller.say(
                f"{why}. Waiting up to {limits.CREDENTIAL_SECONDS:.0f} s for another credential in {self._file.path},"
                " since a replaced Secret reaches a pod late"
            )
        while (found := self._file.read()) is None or found == token:
            self._deadline.check()
            if self._clock.now() >= self._wait_ends:
                raise Failed(
                    f"{self._file.mistaken or why}, and within {limits.CREDENTIAL_SECONDS:.0f} s no other credential"
                    f" came. {FORMER if self._file.mistaken else ADVICE}"
                )
            self._clock.sleep(limits.CREDENTIAL_POLL)

    def _pause(self, problem: Passing, passed: int) -> None:
        if passed >= limits.PASSING_ATTEMPTS:
            raise Failed(f"{problem} ({passed} attempts)") from None
        # Many pods that start at once shall not come back at once.
        seconds = limits.FIRST_PAUSE * 2 ** (passed - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._teller.say(f"{problem}; trying again in {seconds:.0f} s")
        self._clock.sleep(seconds)
