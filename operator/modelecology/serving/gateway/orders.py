"""What a client sends. The body is the engine's to judge; the gateway changes `model` and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .plan import Facts
from .refusal import bad_request

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"

_MOST_NAME = 256
_MOST_LABEL = 16_384
_ONLY_STREAMED = ("stream", "stream_options")


@dataclass(frozen=True, slots=True)
class Order:
    """One request for an answer. `fields` is the client's JSON, opaque but for what is beside it."""

    path: str
    fields: Mapping[str, object]
    model: str
    stream: bool
    user: str | None
    text: str
    metadata: Mapping[str, str]

    def facts(self, headers: Mapping[str, str]) -> Facts:
        """What routing may know, with these headers."""
        return Facts(self.model, self.text, headers, self.metadata)

    def body_for(self, served: str) -> bytes:
        """The client's body, with the served name for its model."""
        return _write({**self.fields, "model": served})

    def copy_for(self, served: str) -> bytes:
        """The same for a shadow, which answers in one piece."""
        kept = {name: value for name, value in self.fields.items() if name not in _ONLY_STREAMED}
        return _write({**kept, "model": served})

    def prompt(self) -> str:
        """What was asked, as one text that equal questions share; JSON where it is not one text."""
        asked = self._asked()
        return asked if isinstance(asked, str) else written(asked)

    def is_one_text(self) -> bool:
        """Whether what was asked is a text, and neither messages nor several texts."""
        return isinstance(self._asked(), str)

    def _asked(self) -> object:
        return self.fields.get("messages" if self.path == CHAT else "prompt")

    def comparable(self) -> bool:
        """Whether there is one answer in words, which can be held beside another."""
        if self.fields.get("n") not in (None, 1) or self.fields.get("tools"):
            return False
        return self.path == CHAT or isinstance(self.fields.get("prompt"), str)


class FeedbackOrder(BaseModel):
    """What a client says of an answer that it got."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: str = Field(pattern=r"^[-_a-zA-Z0-9]{1,64}$")
    score: float | None = Field(default=None, ge=0, le=1, strict=True)
    label: str | None = Field(default=None, max_length=_MOST_LABEL)
    task: str | None = Field(default=None, min_length=1, max_length=_MOST_NAME)

    @model_validator(mode="after")
    def _says_one_thing(self) -> FeedbackOrder:
        if [self.score, self.label, self.task].count(None) != 2:
            raise ValueError("give score, label or task, one of the three")
        return self


def read_order(path: str, raw: bytes) -> Order:
    """Read a body. Raises Refusal, which names the field."""
    fields = _object(raw)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("model: name the population, a task, a specialist or a pinned revision.", "model")
    if len(model) > _MOST_NAME:
        raise bad_request(f"model: a name has at most {_MOST_NAME} characters.", "model")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise bad_request("stream: give true or false.", "stream")
    user = fields.get("user")
    metadata = fields.get("metadata")
    return Order(
        path=path,
        fields=fields,
        model=model,
        stream=bool(stream),
        user=user if isinstance(user, str) and user else None,
        text=_text(fields, path),
        metadata=_texts(metadata) if isinstance(metadata, dict) else {},
    )


def written(asked: object) -> str:
    """Write down messages, or several prompts, as one text that equal ones share."""
    return json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_feedback(raw: bytes) -> FeedbackOrder:
    """Read a body. Raises Refusal, which names the field."""
    try:
        return FeedbackOrder.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"{field or 'body'}: {first['msg']}.", field or None) from error


def _object(raw: bytes) -> dict[str, object]:
    try:
        fields = json.loads(raw, parse_constant=_no_number)
    except RecursionError as error:
        raise bad_request("The body is nested too deeply.") from error
    except ValueError as error:
        raise bad_request(f"The body is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise bad_request("The body must be a JSON object.")
    return fields


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _write(fields: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise bad_request("The body holds a number that is too large.") from error


def _text(fields: Mapping[str, object], path: str) -> str:
    """The last user message, or the (first) prompt."""
    if path == COMPLETIONS:
        prompt = fields.get("prompt")
        first = prompt[0] if isinstance(prompt, list) and prompt else prompt
        return first if isinstance(first, str) else ""
    messages = fields.get("messages")
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            return _content(message.get("content"))
    return ""


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _texts(metadata: Mapping[object, object]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if isinstance(key, str) and isinstance(value, str)}
