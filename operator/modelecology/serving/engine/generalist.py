"""The base model with its resident adapters. Only one thread may call it, save for encode, decode and fit."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer

from .admission import AdapterFiles
from .fit import LoraWeights, fit
from .pool import BASE_SLOT, LoraPool, Slot
from .refusal import bad_request


class BaseUnusable(Exception):
    """The model directory cannot be served; the message says why."""


class Generalist:
    """A causal language model of one directory, loaded in `dtype` (bfloat16 or float32) on the CPU.

    It holds at most `max_loras` adapters of at most `max_rank`. Raises BaseUnusable.
    """

    def __init__(self, directory: str, dtype: str, max_length: int, *, max_loras: int, max_rank: int) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise BaseUnusable(f"--model {directory} is not a causal language model: {error}") from error
        if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=model.config).layers):
            raise BaseUnusable(
                f"--model {directory} does not attend to everything; this engine cannot mix it"
            )
        self._model = model.requires_grad_(False)
        self._model.train(False)
        self._pool = LoraPool(self._model, max_loras, max_rank)
        self._linears = self._pool.linears()
        self.size = sum(tensor.numel() * tensor.element_size() for tensor in self._model.parameters())
        limit = getattr(self._model.config, "max_position_embeddings", max_length)
        self.max_length = min(max_length, int(limit))
        self.ends = _end_tokens(self._model, self._tokenizer)
        self.has_chat_template = self._tokenizer.chat_template is not None

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens of a conversation under the base's chat template, ready for the answer.

        Raises Refusal if the base has no template, or the template refuses the conversation.
        """
        if not self.has_chat_template:
            raise bad_request("The base has no chat template; use /v1/completions.", "messages")
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages], add_generation_prompt=True, tokenize=False
            )
        except Exception as error:  # templates raise what they like (jinja2's TemplateError among them)
            raise bad_request(f"The chat template refused the messages: {error}", "messages") from error
        return self._tokens(str(text), special=False)

    def encode(self, text: str) -> list[int]:
        """The tokens of a plain prompt."""
        return self._tokens(text, special=True)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without special ones."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def fit(self, files: AdapterFiles) -> LoraWeights:
        """Make an admitted adapter ready to be attached; any thread may. Raises Refusal (400)."""
        return fit(files, self._linears, self._model.dtype)

    def attach(self, weights: LoraWeights) -> Slot:
        """Make an adapter resident. Raises Refusal (400) if there is no room or no memory for it."""
        try:
            return self._pool.add(weights)
        except RuntimeError as error:  # torch's, when memory runs out
            message = f"The adapter in {weights.path} finds no place; lower --max-loras or --max-lora-rank"
            raise bad_request(f"{message}: {str(error).splitlines()[0]}", "lora_path") from error

    def detach(self, key: str) -> None:
        """Clear an adapter's weights; an unknown key is no error."""
        self._pool.drop(key)

    def layers_of(self, key: str) -> tuple[str, ...]:
        """Names of the layers that a slot changes; none once it is detached."""
        return self._pool.targets(key)

    @torch.inference_mode()
    def forward(
        self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache, slots: Sequence[str]
    ) -> Tensor:
        """Run one mixed batch; row i goes through adapter slots[i]. The last position's logits, float32.

        Shapes: tokens and positions [rows, new], mask [rows, past + new], result [rows, vocabulary]. The
        cache grows by `new`.
        """
        self._pool.begin(slots, tokens.shape[1])
        try:
            output = self._model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                cache=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        finally:
            self._pool.end()
        logits: Tensor = output.logits
        return logits[:, -1].float()

    @torch.inference_mode()
    def embed(self, tokens: Sequence[int]) -> list[float]:
        """The direction of a text by the base: the mean of its last hidden states, scaled to length 1."""
        self._pool.begin((BASE_SLOT,), len(tokens))
        try:
            output = self._model.base_model(input_ids=torch.tensor([list(tokens)]), use_cache=False)
        finally:
            self._pool.end()
        mean = output.last_hidden_state[0].float().mean(dim=0)
        return [float(number) for number in functional.normalize(mean, dim=0)]

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=special)["input_ids"]
        return [int(token) for token in encoded]


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer, by the generation config and by the tokenizer."""
    ends: set[int] = set()
    config = getattr(model, "generation_config", None)
    for source in (getattr(config, "eos_token_id", None), tokenizer.eos_token_id):
        if isinstance(source, int):
            ends.add(source)
        elif source is not None:
            ends.update(int(token) for token in source)
    return frozenset(ends)
