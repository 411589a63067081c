"""People who ask gateways all the time, and what they heard: for what must hold of every single answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

PROMPT: Final = "Which day is it?"
_AGAIN_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer. `at` is when all of it had come, in seconds since 1970; status 0 says that none came."""

    at: float
    gateway: int
    asked: str
    status: int
    model: str = ""
    text: str = ""
    fallback: bool = False
    reason: str = ""


@dataclass
class Users:
    """So many users for each gateway, who ask again a moment after each answer; `model` may be changed."""

    ports: Sequence[int]
    model: Callable[[int], str]
    each: int = 4
    pause: float = 0.02
    heard: list[Heard] = field(default_factory=list)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask as long as the block runs; what is on its way at its end is waited for."""
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(self._ask_on(gateway, port, number, stop))
            for gateway, port in enumerate(self.ports)
            for number in range(self.each)
        ]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    def since(self, moment: float) -> list[Heard]:
        """What was heard after a moment."""
        return [each for each in self.heard if each.at > moment]

    async def _ask_on(self, gateway: int, port: int, number: int, stop: asyncio.Event) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not stop.is_set():
            asked = self.model(number)
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", port)
                found = await _ask(*streams, asked, gateway)
            except (OSError, EOFError, asyncio.IncompleteReadError):
                found, streams = Heard(time.time(), gateway, asked, 0), None
                await asyncio.sleep(_AGAIN_SECONDS)
            self.heard.append(found)
            await asyncio.sleep(self.pause)
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, model: str, gateway: int) -> Heard:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 32})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    answer = await reader.readexactly(int(headers["content-length"]))
    at = time.time()
    return read_heard(at, gateway, model, int(lines[0].split()[1]), headers, answer)


def read_heard(
    at: float, gateway: int, asked: str, status: int, headers: dict[str, str], body: bytes
) -> Heard:
    """Read an answer."""
    fields = json.loads(body)
    choices = fields.get("choices") or [{}]
    return Heard(
        at=at,
        gateway=gateway,
        asked=asked,
        status=status,
        model=str(fields.get("model", "")),
        text=str(choices[0].get("message", {}).get("content", "")),
        fallback=headers.get("x-modelecology-fallback") == "true",
        reason=headers.get("x-modelecology-reason", ""),
    )
