"""The floor of a webhook's receiver, as a process: it checks the signature, parses, and answers. It prints its port.

`python -m bench.bare_handler SECRET`; it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import sys

import orjson
import uvloop
from aiohttp import web


async def serve(secret: bytes) -> None:
    """Serve until standard input ends."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        expected = f"sha256={hmac.digest(secret, body, 'sha256').hex()}"
        if not hmac.compare_digest(expected, request.headers["X-Hub-Signature-256"]):
            return web.Response(status=401)
        orjson.loads(body)
        return web.Response(status=200)

    # aiohttp's low-level server: an application with its router takes longer.
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    os.write(1, f"{runner.addresses[0][1]}\n".encode())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1].encode()))
