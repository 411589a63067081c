"""The base model with its resident adapters. Only one thread may call it, save for encode and decode."""

import gc
import itertools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer

from .admission import AdapterFiles
from .refusal import Refusal, bad_request

BASE_SLOT: Final = "__base__"
"""What peft calls a row of a mixed batch that no adapter touches."""

_PREFIX: Final = "base_model.model."


class BaseUnusable(Exception):
    """The model directory cannot be served; the message says why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an attached adapter lives in peft, and how many bytes its weights take."""

    key: str
    size: int


class Generalist:
    """A causal language model of one directory, loaded in `dtype` (bfloat16 or float32) on the CPU.

    Raises BaseUnusable.
    """

    def __init__(self, directory: str, dtype: str, max_length: int) -> None:
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
        self._peft: PeftModel | None = None
        self._serial = itertools.count(1)
        self._rows: list[str] = []
        self._hooked: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._linears = {
            name: (module.in_features, module.out_features)
            for name, module in self._model.named_modules()
            if isinstance(module, nn.Linear)
        }
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

    def attach(self, files: AdapterFiles) -> Slot:
        """Make an admitted adapter resident. Raises Refusal (400) if it does not fit this base."""
        state = self._fitting_state(files)
        key = f"slot{next(self._serial)}"  # names may hold dots, module names may not
        config = LoraConfig(
            r=files.config.r,
            lora_alpha=files.config.lora_alpha,  # type: ignore[arg-type]  # peft says int, computes in floats
            target_modules=sorted(_module_of(name) for name in state if ".lora_A." in name),
            rank_pattern=dict(files.config.rank_pattern),
            alpha_pattern=dict(files.config.alpha_pattern),
            use_rslora=files.config.use_rslora,
            inference_mode=True,
        )
        try:
            if self._peft is None:
                self._peft = PeftModel(self._model, config, adapter_name=key, low_cpu_mem_usage=True)
            else:
                self._peft.add_adapter(key, config, low_cpu_mem_usage=True)
            outcome: Any = set_peft_model_state_dict(
                self._peft, state, adapter_name=key, low_cpu_mem_usage=True
            )
            lost = [name for name in outcome.missing_keys if f".{key}." in name] + outcome.unexpected_keys
            if lost:
                raise _misfit(files, f"{lost[0]} has no place")
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            self.detach(key)
            raise _misfit(files, str(error).splitlines()[0]) from error
        except Refusal:
            self.detach(key)
            raise
        self._model.train(False)
        # Rows name their adapters, so none is active; peft complains when an active one is deleted.
        tuner: Any = self._peft.base_model
        tuner.set_adapter([])
        self._hook_layers()
        return Slot(key, sum(tensor.numel() * tensor.element_size() for _, tensor in self._weights(key)))

    def detach(self, key: str) -> None:
        """Delete an adapter's weights and give their memory back; an unknown key is no error."""
        if self._peft is None or key not in self._peft.peft_config:
            return
        self._peft.delete_adapter(key)
        gc.collect()

    def weight_names(self, key: str) -> list[str]:
        """The weights that a slot holds; none once it is detached."""
        return [name for name, _ in self._weights(key)]

    @torch.inference_mode()
    def forward(
        self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache, slots: Sequence[str]
    ) -> Tensor:
        """Run one mixed batch; row i goes through adapter slots[i]. The last position's logits, float32.

        Shapes: tokens and positions [rows, new], mask [rows, past + new], result [rows, vocabulary]. The
        cache grows by `new`.
        """
        self._rows = list(slots)
        output = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            cache=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits
        return logits[:, -1].float()

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=special)["input_ids"]
        return [int(token) for token in encoded]

    def _fitting_state(self, files: AdapterFiles) -> dict[str, Tensor]:
        """Parse the weights; each pair must fit a linear layer of the base, each target must have a pair."""
        try:
            state = parse_safetensors(files.weights)
        except SafetensorError as error:
            raise _misfit(files, f"the weights cannot be parsed: {error}") from error
        found: set[str] = set()
        for name, tensor in state.items():
            module = _module_of(name)
            shape = self._linears.get(module)
            if shape is None:
                raise _misfit(files, f"the base has no linear layer {module}")
            side = 0 if ".lora_A." in name else 1
            if tensor.shape[1 - side] != shape[side]:
                raise _misfit(files, f"{name} has shape {tuple(tensor.shape)}, the layer is {shape}")
            if not bool(torch.isfinite(tensor).all()):
                raise _misfit(files, f"{name} holds values that are not finite")
            found.add(module)
        targets = files.config.target_modules
        claimed = {
            module
            for module in self._linears
            if any(module == target or module.endswith(f".{target}") for target in targets)
        }
        if claimed != found:
            odd = sorted(claimed ^ found)[0]
            raise _misfit(files, f"target_modules and the weights disagree about {odd}")
        return state

    def _hook_layers(self) -> None:
        """Hand each LoRA layer the rows of the batch under way.

        peft's own way (the adapter_names argument) adds hooks at every forward pass, and leaves them behind
        when the pass fails: later rows would go through the wrong adapter. These stay, and read one list.
        """
        for module in self._model.modules():
            if isinstance(module, LoraLayer) and isinstance(module, nn.Module) and module not in self._hooked:
                module.register_forward_pre_hook(self._name_rows, with_kwargs=True)
                self._hooked.add(module)

    def _name_rows(
        self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "adapter_names": self._rows}

    def _weights(self, key: str) -> list[tuple[str, Tensor]]:
        return [(name, tensor) for name, tensor in self._model.named_parameters() if f".{key}." in name]


def _module_of(name: str) -> str:
    return name.removeprefix(_PREFIX).rpartition(".lora_")[0]


def _misfit(files: AdapterFiles, what: str) -> Refusal:
    return bad_request(f"The adapter in {files.path} does not fit the base: {what}", "lora_path")


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
