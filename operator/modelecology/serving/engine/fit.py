"""From an admitted adapter's bytes to the weights that this base can serve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor

from .admission import AdapterFiles, LoraConfigFile
from .refusal import Refusal, bad_request

_PREFIX: Final = "base_model.model."


@dataclass(frozen=True, slots=True)
class Pair:
    """What an adapter adds to one linear layer: x @ down.T @ up, its scale already in `up`.

    Shapes: down [rank, in], up [rank, out].
    """

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """One adapter that fits the base, by the names of the base's linear layers."""

    path: str
    pairs: Mapping[str, Pair]

    @property
    def rank(self) -> int:
        """The largest rank of its layers."""
        return max(pair.down.shape[0] for pair in self.pairs.values())

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        tensors = [tensor for pair in self.pairs.values() for tensor in (pair.down, pair.up)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def fit(files: AdapterFiles, linears: Mapping[str, tuple[int, int]], dtype: torch.dtype) -> LoraWeights:
    """Parse an adapter for a base with these linear layers, (in, out) by name, in the base's own dtype.

    Raises Refusal (400) if a pair fits no layer, a target has no pair, or a value is not finite.
    """
    try:
        state = parse_safetensors(files.weights)
    except SafetensorError as error:
        raise _misfit(files, f"the weights cannot be parsed: {error}") from error
    modules = sorted({_module_of(name) for name in state})
    for module in modules:
        if module not in linears:
            raise _misfit(files, f"the base has no linear layer {module}")
    targets = files.config.target_modules
    claimed = {
        module
        for module in linears
        if any(module == target or module.endswith(f".{target}") for target in targets)
    }
    if claimed != set(modules):
        odd = sorted(claimed ^ set(modules))[0]
        raise _misfit(files, f"target_modules and the weights disagree about {odd}")
    downs = [state[f"{_PREFIX}{module}.lora_A.weight"] for module in modules]
    ups = [state[f"{_PREFIX}{module}.lora_B.weight"] for module in modules]
    scales = [
        _scale(files, module, down, up, linears[module])
        for module, down, up in zip(modules, downs, ups, strict=True)
    ]
    pairs: dict[str, Pair] = {}
    for module, down, up, scale in zip(modules, downs, ups, scales, strict=True):
        pairs[module] = Pair(down.to(dtype), (up.float() * scale).to(dtype).T.contiguous())
    # After the change of dtype: a value may be too large for the base's.
    if not _finite([tensor for pair in pairs.values() for tensor in (pair.down, pair.up)], dtype):
        raise _misfit(files, "its weights hold values that are not finite")
    return LoraWeights(files.path, pairs)


def _finite(tensors: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether no value is infinite or not a number: those have all bits of the exponent set.

    By numpy, in this thread alone and all at once: torch would take the threads of the running requests.
    """
    whole, exponent = (torch.int16, 0x7F80) if dtype is torch.bfloat16 else (torch.int32, 0x7F800000)
    bits = torch.cat([tensor.flatten() for tensor in tensors]).view(whole).numpy()
    return not bool(((bits & exponent) == exponent).any())


def _scale(files: AdapterFiles, module: str, down: Tensor, up: Tensor, shape: tuple[int, int]) -> float:
    """What a pair is to be multiplied by. Raises Refusal (400) if it does not fit its layer, (in, out)."""
    rank, alpha = _rank_and_alpha(files.config, module)
    if tuple(down.shape) != (rank, shape[0]) or tuple(up.shape) != (shape[1], rank):
        what = f"its pair has shapes {tuple(down.shape)} and {tuple(up.shape)}, of rank {rank} on {shape}"
        raise _misfit(files, f"{module}: {what}")
    return alpha / (math.sqrt(rank) if files.config.use_rslora else rank)


def _rank_and_alpha(config: LoraConfigFile, module: str) -> tuple[int, float]:
    """The layer's own rank and alpha, if a pattern names it; the first that does, as in peft."""

    def own(patterns: Mapping[str, int | float], otherwise: float) -> int | float:
        named = (value for name, value in patterns.items() if f".{module}".endswith(f".{name}"))
        return next(named, otherwise)

    return int(own(config.rank_pattern, config.r)), float(own(config.alpha_pattern, config.lora_alpha))


def _module_of(name: str) -> str:
    return name.removeprefix(_PREFIX).rpartition(".lora_")[0]


def _misfit(files: AdapterFiles, what: str) -> Refusal:
    return bad_request(f"The adapter in {files.path} does not fit the base: {what}", "lora_path")
