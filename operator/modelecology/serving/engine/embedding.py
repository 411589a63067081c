"""OpenAI's route for embeddings: what a client may send, and what it gets. The base alone gives them."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXTS: Final = 64


class EmbeddingOrder(BaseModel):
    """Give a text, or each of several, a direction by the base."""

    # What is not implemented is refused, never ignored.
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    input: str | tuple[str, ...] = Field(min_length=1)
    encoding_format: Literal["float"] = "float"
    user: str | None = None

    def texts(self) -> tuple[str, ...]:
        """The texts. Raises ValueError if there are too many."""
        texts = (self.input,) if isinstance(self.input, str) else self.input
        if len(texts) > MAX_TEXTS:
            raise ValueError(f"input must hold at most {MAX_TEXTS} texts")
        return texts


class EmbeddingLine(BaseModel):
    """One text's direction."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float]


class EmbeddingUsage(BaseModel):
    """Tokens of one request."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(BaseModel):
    """OpenAI's list of embeddings."""

    object: Literal["list"] = "list"
    data: list[EmbeddingLine]
    model: str
    usage: EmbeddingUsage


def embedding_answer(model: str, vectors: list[list[float]], tokens: int) -> EmbeddingAnswer:
    """Dress directions as an answer, in the order of the texts."""
    lines = [EmbeddingLine(index=index, embedding=vector) for index, vector in enumerate(vectors)]
    counted = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingAnswer(data=lines, model=model, usage=counted)
