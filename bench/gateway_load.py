"""A closed loop of users: each asks again as soon as it has its answer. Written to take little CPU itself."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Final

from bench.figures import percentile

TOKENS: Final = 20
_HEAD_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen: seconds of each answered request, how many failed, and how long it took in all."""

    latencies: tuple[float, ...]
    failed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def at(self, share: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        return 1000 * percentile(self.latencies, share)


class _User(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, most: int) -> None:
        self._request = request
        self._until = until
        self._left = most
        self._data = bytearray()
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.latencies: list[float] = []
        self.failed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.failed += 1
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._whole():
            return
        if self._data.startswith(b"HTTP/1.1 200"):
            self.latencies.append(time.perf_counter() - self._sent)
        else:
            self.failed += 1
        self._data.clear()
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        if self._sent >= self._until or self._left == 0:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._left -= 1
        self._transport.write(self._request)

    def _whole(self) -> bool:
        head, found, rest = self._data.partition(_HEAD_END)
        if not found:
            return False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(rest) >= int(line[15:])
        return rest.endswith(_LAST_CHUNK)


async def offer(
    port: int, model: str, *, users: int, seconds: float, stream: bool = False, most: int = -1
) -> Load:
    """Let so many users ask for so many seconds, or until each has asked `most` times."""
    request = _request(port, model, stream)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _User(request, began + seconds, most), "127.0.0.1", port)
        for _ in range(users)
    ]
    for _, user in made:
        await user.done
    took = time.perf_counter() - began
    latencies = tuple(latency for _, user in made for latency in user.latencies)
    return Load(latencies, sum(user.failed for _, user in made), took)


def _request(port: int, model: str, stream: bool) -> bytes:
    order = {
        "model": model,
        "messages": [{"role": "user", "content": "Which day is the third of May 2026, as a date?"}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": stream,
    }
    body = json.dumps(order).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
