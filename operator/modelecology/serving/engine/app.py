"""The HTTP face of the engine: vLLM's routes, status codes and error bodies."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from modelecology.serving.tokens import TokenFile
from modelecology.serving.tracing import NO_TRACING, Tracing

from .doorman import Doorman
from .embedding import EmbeddingAnswer, EmbeddingOrder
from .refusal import Refusal, bad_request, broken, unavailable
from .service import EngineService
from .streaming import MEDIA_TYPE
from .traced import Traced, tell_model
from .wire import (
    ChatAnswer,
    ChatOrder,
    CompletionOrder,
    LoadOrder,
    ModelList,
    TextAnswer,
    UnloadOrder,
    error_body,
)

_T = TypeVar("_T")
_Seconds = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]

_CLIENT_GONE: Final = 499
"""What nginx writes down for a client that hung up; nobody reads this answer."""


def build_app(
    service: EngineService,
    *,
    token: TokenFile | None = None,
    on_failure: Callable[[], None] = lambda: None,
    tracing: Tracing = NO_TRACING,
) -> FastAPI:
    """The engine's application. With a `token`, all but /health wants it. The base loads while it listens."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.run_up(on_failure))
        try:
            yield
        finally:
            await asyncio.to_thread(service.wind_down)
            loading.cancel()
            await asyncio.wait({loading})
            await asyncio.to_thread(tracing.close)

    app = FastAPI(title="Model Ecology engine", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Doorman, token=token)
    if tracing.on:
        app.add_middleware(Traced, tracing=tracing)
    _answer_errors(app)
    _offer_operations(app, service)
    _offer_models(app, service)
    return app


def _offer_operations(app: FastAPI, service: EngineService) -> None:
    @app.get("/health")
    async def health() -> Response:
        if not service.ready:
            raise unavailable("The base model is being loaded.")
        return Response(status_code=HTTPStatus.OK)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _offer_models(app: FastAPI, service: EngineService) -> None:
    @app.get("/v1/models")
    async def models() -> ModelList:
        return service.models()

    @app.post("/v1/load_lora_adapter")
    async def load(order: LoadOrder) -> PlainTextResponse:
        return PlainTextResponse(await service.load(order))

    @app.post("/v1/unload_lora_adapter")
    async def unload(order: UnloadOrder, drain_seconds: _Seconds = None) -> PlainTextResponse:
        return PlainTextResponse(await service.unload(order, drain_seconds))

    @app.post("/v1/chat/completions", response_model=ChatAnswer)
    async def chat(order: ChatOrder, request: Request) -> ChatAnswer | StreamingResponse:
        tell_model(request, order.model)
        if order.stream:
            return await _streamed(request, service.stream(order))
        return await _while_connected(request, service.chat(order))

    @app.post("/v1/completions", response_model=TextAnswer)
    async def complete(order: CompletionOrder, request: Request) -> TextAnswer | StreamingResponse:
        tell_model(request, order.model)
        if order.stream:
            return await _streamed(request, service.stream(order))
        return await _while_connected(request, service.complete(order))

    @app.post("/v1/embeddings")
    async def embed(order: EmbeddingOrder, request: Request) -> EmbeddingAnswer:
        tell_model(request, order.model)
        return await _while_connected(request, service.embed(order))


def _answer_errors(app: FastAPI) -> None:
    def answer(refusal: Refusal) -> JSONResponse:
        status = int(refusal.status)
        body = error_body(refusal.message, refusal.kind, refusal.param, status)
        headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return JSONResponse(body, status_code=status, headers=headers)

    @app.exception_handler(Refusal)
    async def refused(_request: Request, error: Refusal) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "body")
        return answer(bad_request(f"{field or 'body'}: {first['msg']}", field or None))

    @app.exception_handler(HTTPException)
    async def unrouted(_request: Request, error: HTTPException) -> JSONResponse:
        return answer(Refusal(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail)))

    @app.exception_handler(Exception)
    async def failed(_request: Request, error: Exception) -> JSONResponse:
        return answer(broken(f"The engine failed: {type(error).__name__}"))


async def _streamed(request: Request, events: AsyncGenerator[bytes]) -> StreamingResponse:
    """Stream events once there is a first, so that what is refused before it has its own status."""
    first = await _while_connected(request, anext(events))

    async def whole() -> AsyncIterator[bytes]:
        async with contextlib.aclosing(events):
            yield first
            async for event in events:
                yield event

    return StreamingResponse(whole(), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-cache"})


async def _while_connected(request: Request, work: Awaitable[_T]) -> _T:
    """Do the work unless the client hangs up first; then stop it, since nobody would read the answer."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refusal(_CLIENT_GONE, "ClientClosedRequest", "The client hung up.")
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
