"""An address for several gateways, as a Service is one: it passes connections on."""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import suppress


class Front:
    """What stands before the gateways, as a Service does: each connection goes to the next one, alive or not."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ports: list[int] = []
        self._turn = itertools.count()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        port = self.ports[next(self._turn) % len(self.ports)]
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as gateway:
            back = threading.Thread(target=_pipe, args=(gateway, client), daemon=True)
            back.start()
            _pipe(client, gateway)
            back.join()


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
