"""All resident adapters side by side: one pair of matrices a linear layer, for one pass of any mix."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .fit import LoraWeights
from .plan import Lanes, Layer, Plan, planned, power

BASE_SLOT: Final = "__base__"
"""The slot of a row that no adapter touches."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an attached adapter lives, and how many bytes its weights take."""

    key: str
    size: int


class LoraPool:
    """At most `adapters` adapters of at most `rank` over the linear layers of a model, in its precision.

    Only the model's thread may call it. Memory of a dropped adapter is cleared and used again; it is given
    back when the last one is dropped.
    """

    def __init__(self, model: nn.Module, adapters: int, rank: int) -> None:
        self._linears = {
            name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)
        }
        # Blocks are of a power of two and start at a multiple of it, so each lies within one block of the
        # largest size. With fewer than `adapters` of them one of those is free: room is never lost to gaps.
        self._capacity = adapters * power(rank)
        self._layers: dict[str, Layer] = {}
        self._hooks: list[RemovableHandle] = []
        self._lanes: dict[str, Lanes] = {}
        self._targets: dict[str, tuple[str, ...]] = {}
        self._serial = itertools.count(1)
        self._rows: tuple[str, ...] = ()
        self._tokens = 0
        self._plan = Plan()
        self._read: tuple[Tensor, list[Tensor]] | None = None

    def linears(self) -> dict[str, tuple[int, int]]:
        """Width in and out of each linear layer, by name."""
        return {name: (each.in_features, each.out_features) for name, each in self._linears.items()}

    def add(self, weights: LoraWeights) -> Slot:
        """Take an adapter in. Raises RuntimeError if there is no room or no memory for it."""
        lanes = self._free(weights.rank)
        missing = [name for name in weights.pairs if name not in self._layers]
        # All or none of them: memory may run out on the way.
        for name, layer in {name: Layer(self._linears[name], self._capacity) for name in missing}.items():
            self._layers[name] = layer
            self._hooks.append(self._linears[name].register_forward_hook(partial(self._add, layer)))
        key = f"slot{next(self._serial)}"
        self._lanes[key] = lanes
        self._targets[key] = tuple(sorted(weights.pairs))
        self._forget_plan()
        top = self._top
        for name, layer in self._layers.items():
            # Every lane may be read, also where this adapter has nothing, and must be a number.
            layer.grow(top)
            if name in weights.pairs:
                layer.write(lanes.start, weights.pairs[name])
        return Slot(key, weights.size)

    def drop(self, key: str) -> None:
        """Clear an adapter's weights; an unknown key is no error."""
        lanes = self._lanes.pop(key, None)
        if lanes is None:
            return
        self._forget_plan()
        del self._targets[key]
        if self._lanes:
            for layer in self._layers.values():
                layer.clear(lanes.taken)
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._layers.clear()

    def targets(self, key: str) -> tuple[str, ...]:
        """Names of the layers that a slot changes; none once it is dropped."""
        return self._targets.get(key, ())

    def begin(self, slots: Sequence[str], tokens: int) -> None:
        """Say which adapter each row of the next pass goes through, and how many tokens a row has.

        Raises KeyError for a slot that is not there.
        """
        rows = tuple(slots)
        if rows != self._rows or tokens != self._tokens:
            lanes = [None if slot == BASE_SLOT else self._lanes[slot] for slot in rows]
            self._plan = planned(lanes, tokens)
            self._rows, self._tokens = rows, tokens

    def end(self) -> None:
        """Let go of what the pass has read."""
        self._read = None

    @property
    def _top(self) -> int:
        """The end of the last lane in use."""
        return max((lanes.taken.stop for lanes in self._lanes.values()), default=0)

    def _forget_plan(self) -> None:
        self._rows, self._plan = (), Plan()

    def _free(self, width: int) -> Lanes:
        size = power(width)
        taken = bytearray(self._capacity)
        for lanes in self._lanes.values():
            taken[lanes.taken] = b"\1" * (lanes.taken.stop - lanes.start)
        for start in range(0, self._capacity, size):
            if not any(taken[start : start + size]):
                return Lanes(start, width)
        raise RuntimeError(f"no room for an adapter of rank {width}")

    def _add(self, layer: Layer, _linear: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        """Add what the adapters say to what the base's layer says; a forward hook of that layer."""
        plan = self._plan
        if not plan.grids:
            return
        read: Tensor = given[0]
        # Several layers read the same: query, key and value, gate and up.
        if self._read is None or self._read[0] is not read:
            self._read = read, [grid.laid_out(read) for grid in plan.grids]
        parts = [grid.part(layer) for grid in plan.grids]
        hidden = [torch.bmm(mine, down) for mine, (down, _) in zip(self._read[1], parts, strict=True)]
        if plan.bags is not None:
            plan.bags.add(layer.up, hidden, output)
            return
        for grid, said, (_, up) in zip(plan.grids, hidden, parts, strict=True):
            grid.add(up, said, output)
