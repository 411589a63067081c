"""An engine double that takes a millisecond a token: python -m bench.gateway_engine --port N.

It speaks OpenAI's chat completions over HTTP/1.1 with next to no work of its own, so that what is measured in
front of it is not measured in it. A stream has one chunk a token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

TOKEN_SECONDS = 0.001
_END = b"\r\n\r\n"
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Engine(asyncio.Protocol):
    """One connection. Requests on it come one after another."""

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to be answered."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole."""
        self._data += data
        head, found, rest = self._data.partition(_END)
        if not found:
            return
        length = _length(head)
        if len(rest) < length:
            return
        self._data = rest[length:]
        order = json.loads(rest[:length] or b"{}")
        tokens = int(order.get("max_tokens") or 1)
        loop = asyncio.get_running_loop()
        if order.get("stream"):
            self._send(_STREAM)
            loop.call_later(TOKEN_SECONDS, self._stream, order["model"], tokens, loop.time())
        else:
            loop.call_later(tokens * TOKEN_SECONDS, self._send, _whole(order.get("model", ""), tokens))

    def _stream(self, model: str, left: int, began: float) -> None:
        last = left == 1
        self._send(_chunk(_event(model, None if last else "word ")))
        if last:
            self._send(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            return
        loop = asyncio.get_running_loop()
        # By the clock, so that a late chunk does not make the next one late.
        loop.call_at(began + 2 * TOKEN_SECONDS, self._stream, model, left - 1, began + TOKEN_SECONDS)

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def _whole(model: str, tokens: int) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "word " * tokens},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 8, "completion_tokens": tokens, "total_tokens": 8 + tokens}
    body = _answer("chat.completion", model, choice) | {"usage": usage}
    text = json.dumps(body).encode()
    return _PLAIN % (len(text), text)


def _event(model: str, word: str | None) -> bytes:
    delta = {} if word is None else {"role": "assistant", "content": word}
    choice = {"index": 0, "delta": delta, "finish_reason": None if word else "stop"}
    return b"data: " + json.dumps(_answer("chat.completion.chunk", model, choice)).encode() + b"\n\n"


def _answer(kind: str, model: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": model, "choices": [choice]}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway_engine", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
