"""The double behind HTTP, for callers that want an endpoint: python -m modelecology.engines.double_server."""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .double import EngineDouble
from .port import EngineRefused, EngineUnreachable
from .signals import TIMED

_KINDS = {400: "InvalidUserInput", 404: "NotFoundError"}


class _Order(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Load(_Order):
    lora_name: str
    lora_path: str


class _Unload(_Order):
    lora_name: str


class _Message(_Order):
    content: str


class _Chat(_Order):
    model: str
    messages: tuple[_Message, ...] = Field(min_length=1)
    max_tokens: int = 64
    stream: bool = False


_T = TypeVar("_T", bound=_Order)


def double_app(double: EngineDouble, answer_seconds: float = 0.0) -> web.Application:
    """An application that answers vLLM's routes as the double does; /health is 503 while it is down.

    Each answer of a model takes `answer_seconds`, or each word of one that is streamed. What is unloaded
    meanwhile breaks off: this engine waits for nobody.
    """

    async def health(_request: web.Request) -> web.Response:
        return web.Response(status=503 if double.down else 200)

    async def models(_request: web.Request) -> web.Response:
        cards = await double.models()
        lines = [
            {"id": card.id, "object": "model", "root": card.root, "parent": card.parent} for card in cards
        ]
        return web.json_response({"object": "list", "data": lines})

    async def load(request: web.Request) -> web.Response:
        order = await _read(request, _Load)
        await double.load(order.lora_name, order.lora_path)
        return web.Response(text=f"Success: LoRA adapter '{order.lora_name}' added successfully.")

    async def unload(request: web.Request) -> web.Response:
        order = await _read(request, _Unload)
        if all(card.id != order.lora_name for card in await double.models()):
            raise EngineRefused(404, f"The lora adapter '{order.lora_name}' cannot be found.")
        await double.unload(order.lora_name)
        return web.Response(text=f"Success: LoRA adapter '{order.lora_name}' removed successfully.")

    async def metrics(_request: web.Request) -> web.Response:
        busy = await double.busy()
        if busy is None:
            raise EngineRefused(404, "Not Found")
        labels = f'running_lora_adapters="{",".join(sorted(busy))}",waiting_lora_adapters=""'
        return web.Response(text=f"# TYPE {TIMED} gauge\n{TIMED}{{{labels}}} 1\n")

    async def chat(request: web.Request) -> web.StreamResponse:
        order = await _read(request, _Chat)
        prompt = order.messages[-1].content
        with _counted(double, order.model):
            return await (streamed if order.stream else whole)(request, order, prompt)

    async def streamed(request: web.Request, order: _Chat, prompt: str) -> web.StreamResponse:
        words = (await double.chat(order.model, prompt, order.max_tokens)).split(" ")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in words:
            delta = {"model": order.model, "choices": [{"index": 0, "delta": {"content": f"{word} "}}]}
            await response.write(b"data: " + json.dumps(delta).encode() + b"\n\n")
            await asyncio.sleep(answer_seconds)
            try:
                await double.chat(order.model, prompt, 1)
            except (EngineRefused, EngineUnreachable):
                if request.transport is not None:
                    request.transport.abort()
                return response
        await response.write(b"data: [DONE]\n\n")
        return response

    async def whole(_request: web.Request, order: _Chat, prompt: str) -> web.StreamResponse:
        await asyncio.sleep(answer_seconds)
        text = await double.chat(order.model, prompt, order.max_tokens)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        read, written = len(prompt.split()), len(text.split())
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return web.json_response({"model": order.model, "choices": [choice], "usage": usage})

    app = web.Application(middlewares=[_as_vllm])
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/load_lora_adapter", load)
    app.router.add_post("/v1/unload_lora_adapter", unload)
    app.router.add_post("/v1/chat/completions", chat)
    return app


@contextmanager
def _counted(double: EngineDouble, model: str) -> Iterator[None]:
    """Count a request for as long as it runs."""
    requests = double.requests if double.requests is not None else Counter[str]()
    requests[model] += 1
    try:
        yield
    finally:
        requests[model] -= 1


@web.middleware
async def _as_vllm(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except EngineRefused as error:
        return _error(error.status, error.message)
    except EngineUnreachable as error:
        return _error(503, str(error))


def _error(status: int, message: str) -> web.Response:
    kind = _KINDS.get(status, "ServiceUnavailableError")
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return web.json_response(body, status=status)


async def _read(request: web.Request, kind: type[_T]) -> _T:
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise EngineRefused(400, f"{field}: {first['msg']}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a truthful double on this machine until it is told to end."""
    parser = argparse.ArgumentParser(description="An engine without a model, with vLLM's API.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-loras", type=int, default=4)
    parser.add_argument("--answer-seconds", type=float, default=0.0, help="time that each answer takes")
    given = parser.parse_args(arguments)
    app = double_app(EngineDouble(capacity=given.max_loras), given.answer_seconds)
    web.run_app(app, host="127.0.0.1", port=given.port, print=None)


if __name__ == "__main__":
    main()
