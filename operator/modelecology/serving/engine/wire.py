"""The JSON of the API: what a client may send, and what it gets."""

import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .batch import MAX_STOP_CHARACTERS, MAX_STOPS, Completion, Finish, Sampling

MAX_PROMPTS = 64


class _Order(BaseModel):
    # What is not implemented is refused, never ignored.
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadOrder(_Order):
    """Serve the adapter in directory lora_path as lora_name."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)


class UnloadOrder(_Order):
    """Forget lora_name."""

    lora_name: str = Field(min_length=1)


class TextPart(_Order):
    """One piece of a message's content; only text is served."""

    type: Literal["text"]
    text: str


class Message(_Order):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | tuple[TextPart, ...]
    name: None = None

    def plain(self) -> dict[str, str]:
        """The turn as a chat template wants it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": self.role, "content": text}


class StreamOptions(_Order):
    """What a stream says besides the text."""

    include_usage: bool = False


class _Generation(_Order):
    model: str = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=1.0, ge=0.0, le=2.0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: str | tuple[str, ...] | None = None
    n: Literal[1] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    # The gateway routes by it and passes it on; it says nothing of the answer.
    metadata: dict[str, str] | None = None
    # Accepted at the value that means nothing, since clients send them unasked.
    presence_penalty: Literal[0] = 0
    frequency_penalty: Literal[0] = 0

    def sampling(self) -> Sampling:
        """How to pick tokens; without a seed every request gets its own."""
        seed = secrets.randbits(63) if self.seed is None else self.seed
        return Sampling(self.temperature, self.top_p, seed)

    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer. Raises ValueError if there are too many, a long or an empty one."""
        stops = (self.stop,) if isinstance(self.stop, str) else (self.stop or ())
        if len(stops) > MAX_STOPS or any(not 0 < len(stop) <= MAX_STOP_CHARACTERS for stop in stops):
            raise ValueError(
                f"stop must hold at most {MAX_STOPS} texts, each of 1 to {MAX_STOP_CHARACTERS} characters"
            )
        return stops


class ChatOrder(_Generation):
    """Answer a conversation."""

    messages: tuple[Message, ...] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: Literal[False] | None = None


class CompletionOrder(_Generation):
    """Continue a text, or each of several."""

    prompt: str | tuple[str, ...] = Field(min_length=1)
    max_tokens: int | None = Field(default=16, ge=1)
    logprobs: None = None
    echo: Literal[False] = False

    def prompts(self) -> tuple[str, ...]:
        """The texts to continue. Raises ValueError if there are too many."""
        prompts = (self.prompt,) if isinstance(self.prompt, str) else self.prompt
        if len(prompts) > MAX_PROMPTS:
            raise ValueError(f"prompt must hold at most {MAX_PROMPTS} texts")
        return prompts


class Usage(BaseModel):
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatMessage(BaseModel):
    """The answer's turn."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(BaseModel):
    """The answer and why it ended."""

    index: int
    message: ChatMessage
    logprobs: None = None
    finish_reason: Finish


class ChatAnswer(BaseModel):
    """OpenAI's chat.completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class TextChoice(BaseModel):
    """One continuation and why it ended."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: Finish


class TextAnswer(BaseModel):
    """OpenAI's text_completion."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class ModelLine(BaseModel):
    """One served model; an adapter has a parent, and its root is the directory it came from."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["modelecology"] = "modelecology"
    root: str
    parent: str | None = None
    max_model_len: int | None = None


class ModelList(BaseModel):
    """Everything served now."""

    object: Literal["list"] = "list"
    data: list[ModelLine]


def usage(completions: list[Completion]) -> Usage:
    """The tokens of a request's completions."""
    read = sum(completion.prompt_tokens for completion in completions)
    written = sum(completion.completion_tokens for completion in completions)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def chat_answer(model: str, completion: Completion) -> ChatAnswer:
    """Dress one completion as a chat answer."""
    message = ChatMessage(content=completion.text)
    return ChatAnswer(
        id=f"chatcmpl-{secrets.token_hex(16)}",
        created=int(time.time()),
        model=model,
        choices=[ChatChoice(index=0, message=message, finish_reason=completion.finish)],
        usage=usage([completion]),
    )


def text_answer(model: str, completions: list[Completion]) -> TextAnswer:
    """Dress completions as a text answer, in the order of the prompts."""
    return TextAnswer(
        id=f"cmpl-{secrets.token_hex(16)}",
        created=int(time.time()),
        model=model,
        choices=[
            TextChoice(index=index, text=completion.text, finish_reason=completion.finish)
            for index, completion in enumerate(completions)
        ],
        usage=usage(completions),
    )


def error_body(message: str, kind: str, param: str | None, code: int) -> dict[str, Any]:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
