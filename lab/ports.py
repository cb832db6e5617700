"""Free ports on an address of this machine that stay ours until the process they are meant for has taken them.

A port that is found free and let go may be gone a moment later. So the socket stays bound, without listening: the
kernel gives the port to nobody else, yet lets a server that sets SO_REUSEADDR (as Go programs do) bind and listen.
"""

import errno
import socket
from types import TracebackType
from typing import Self

from lab.errors import UsageError

LOOPBACK = "127.0.0.1"


class Ports:
    """A set of reserved ports; closing it gives them all back."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def free(self, address: str = LOOPBACK) -> int:
        """Reserve any free port."""
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(holder)
        holder.bind((address, 0))
        # Only now: while binding, it would make the kernel share a port that another lab has reserved the same way.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return int(holder.getsockname()[1])

    def fixed(self, port: int, option: str, address: str = LOOPBACK) -> int:
        """Reserve this port, or say which option asked for one that is taken."""
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(holder)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no obstacle
        try:
            holder.bind((address, port))
        except OSError as error:
            reason = "is already taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise UsageError(
                f"port {port} on {address} {reason}: choose another with {option}, or leave it out for a free one"
            ) from error
        return port

    def close(self) -> None:
        for holder in self._sockets:
            holder.close()
        self._sockets.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
