"""The floor: a bare aiohttp endpoint on uvloop that decodes the same body into the same type and
answers the same JSON, and no more.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import msgspec
import uvloop
from aiohttp import web

from gateway.domain.resources import PaymentResource
from gateway.http.bodies import PayBody
from security.secret import decode_hook


async def main() -> None:
    """Serve on a free port, printed as the first line, until SIGTERM."""
    answer = msgspec.json.decode(sys.stdin.buffer.readline(), type=PaymentResource)
    decode = msgspec.json.Decoder(PayBody, dec_hook=decode_hook).decode
    encode = msgspec.json.Encoder().encode

    async def pay(request: web.Request) -> web.Response:
        decode(await request.read())
        return web.Response(status=201, body=encode(answer), content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/payments", pay)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    print(listening.getsockname()[1], flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
