"""All resident adapters side by side: one pair of matrices a linear layer, for one pass of any mix."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .fit import LoraWeights, Pair

BASE_SLOT: Final = "__base__"
"""The slot of a row that no adapter touches."""

GAP: Final = 2
"""Adapters whose places are further apart than this are not computed together, for those between cost too."""

WASTE: Final = 2
"""How many rows may be computed for each that is wanted, where rows are long."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an attached adapter lives, and how many bytes its weights take."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class _Lanes:
    """The lanes of one adapter: as many as its largest rank, side by side."""

    start: int
    width: int

    @property
    def end(self) -> int:
        return self.start + self.width

    @property
    def taken(self) -> slice:
        """With what lies idle behind it, so that a block starts at a multiple of its size."""
        return slice(self.start, self.start + _power(self.width))


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Adapters of one width that lie side by side: a product each, for as many rows as the busiest has.

    `source` is the row of the pass that each cell of the grid takes, any for a cell that nobody wants;
    `rows` are those that get what is in `cells`. All are None where cell and row are the same throughout.
    `parts` are the layers' own parts of it, once a pass has asked: a view costs as much as a small product.
    """

    lanes: slice
    width: int
    depth: int
    source: Tensor | None = None
    rows: Tensor | None = None
    cells: Tensor | None = None
    parts: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def part(self, layer: "_Layer") -> tuple[Tensor, Tensor]:
        """A layer's matrices, one an adapter: [adapters, in, width] and [adapters, width, out]."""
        found = self.parts.get(id(layer))
        if found is None:
            down, up = (each[self.lanes].unfold(0, self.width, self.width) for each in (layer.down, layer.up))
            found = self.parts[id(layer)] = down, up.mT
        return found


class _Layer:
    """The lanes of one linear layer: those of an adapter hold its weights, all others up to `ready` are 0.

    Behind `ready` memory is not touched, so it costs none.
    """

    def __init__(self, linear: nn.Linear, capacity: int) -> None:
        dtype = linear.weight.dtype
        self.down = torch.empty(capacity, linear.in_features, dtype=dtype)
        self.up = torch.empty(capacity, linear.out_features, dtype=dtype)
        self.ready = 0

    def grow(self, top: int) -> None:
        if top > self.ready:
            self.clear(slice(self.ready, top))
            self.ready = top

    def write(self, start: int, pair: Pair) -> None:
        lanes = slice(start, start + pair.down.shape[0])
        self.down[lanes] = pair.down
        self.up[lanes] = pair.up

    def clear(self, lanes: slice) -> None:
        self.down[lanes].zero_()
        self.up[lanes].zero_()


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
        self._capacity = adapters * _power(rank)
        self._layers: dict[str, _Layer] = {}
        self._hooks: list[RemovableHandle] = []
        self._lanes: dict[str, _Lanes] = {}
        self._targets: dict[str, tuple[str, ...]] = {}
        self._serial = itertools.count(1)
        self._rows: tuple[str, ...] = ()
        self._tokens = 0
        self._pass: tuple[_Grid, ...] = ()
        self._read: tuple[Tensor, list[Tensor]] | None = None

    def linears(self) -> dict[str, tuple[int, int]]:
        """Width in and out of each linear layer, by name."""
        return {name: (each.in_features, each.out_features) for name, each in self._linears.items()}

    def add(self, weights: LoraWeights) -> Slot:
        """Take an adapter in. Raises RuntimeError if there is no room or no memory for it."""
        lanes = self._free(weights.rank)
        missing = [name for name in weights.pairs if name not in self._layers]
        # All or none of them: memory may run out on the way.
        for name, layer in {name: _Layer(self._linears[name], self._capacity) for name in missing}.items():
            self._layers[name] = layer
            self._hooks.append(self._linears[name].register_forward_hook(partial(self._add, layer)))
        key = f"slot{next(self._serial)}"
        self._lanes[key] = lanes
        self._targets[key] = tuple(sorted(weights.pairs))
        self._forget_pass()
        top = self._top
        for name, layer in self._layers.items():
            # Every lane is read under a mask, also where this adapter has nothing, and must be a number.
            layer.grow(top)
            if name in weights.pairs:
                layer.write(lanes.start, weights.pairs[name])
        return Slot(key, weights.size)

    def drop(self, key: str) -> None:
        """Clear an adapter's weights; an unknown key is no error."""
        lanes = self._lanes.pop(key, None)
        if lanes is None:
            return
        self._forget_pass()
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
            self._pass = self._planned(rows, tokens)
            self._rows, self._tokens = rows, tokens

    def end(self) -> None:
        """Let go of what the pass has read."""
        self._read = None

    @property
    def _top(self) -> int:
        """The end of the last lane in use."""
        return max((lanes.taken.stop for lanes in self._lanes.values()), default=0)

    def _forget_pass(self) -> None:
        self._rows, self._pass = (), ()

    def _free(self, width: int) -> _Lanes:
        size = _power(width)
        taken = bytearray(self._capacity)
        for lanes in self._lanes.values():
            taken[lanes.taken] = b"\1" * (lanes.taken.stop - lanes.start)
        for start in range(0, self._capacity, size):
            if not any(taken[start : start + size]):
                return _Lanes(start, width)
        raise RuntimeError(f"no room for an adapter of rank {width}")

    def _planned(self, rows: tuple[str, ...], tokens: int) -> tuple[_Grid, ...]:
        users: dict[tuple[int, int], list[int]] = {}
        for row, slot in enumerate(rows):
            if slot != BASE_SLOT:
                lanes = self._lanes[slot]
                size = _power(lanes.width)
                users.setdefault((size, lanes.start // size), []).append(row)
        grids: list[_Grid] = []
        for run in _runs(sorted(users)):
            wanted = sum(len(users[place]) for place in run)
            cells = (run[-1][1] - run[0][1] + 1) * max(len(users[place]) for place in run)
            apart = tokens > 1 and cells > WASTE * wanted
            for together in [[place] for place in run] if apart else [run]:
                grids.append(_grid({place: users[place] for place in together}, len(rows)))
        return tuple(grids)

    def _add(self, layer: _Layer, _linear: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        """Add what the adapters say to what the base's layer says; a forward hook of that layer."""
        if not self._pass:
            return
        read: Tensor = given[0]
        # Several layers read the same: query, key and value, gate and up.
        if self._read is None or self._read[0] is not read:
            self._read = read, [_laid_out(read, grid) for grid in self._pass]
        for grid, mine in zip(self._pass, self._read[1], strict=True):
            down, up = grid.part(layer)
            hidden = torch.bmm(mine, down)
            if grid.rows is None or grid.cells is None:
                output.view(len(hidden), -1, output.shape[-1]).baddbmm_(hidden, up)
            else:
                added = torch.bmm(hidden, up).view(-1, *output.shape[1:])
                output.index_add_(0, grid.rows, added[grid.cells])


def _runs(places: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Split sorted places, each a size and a number among those of that size, where they are far apart."""
    runs: list[list[tuple[int, int]]] = []
    for place in places:
        if runs and place[0] == runs[-1][-1][0] and place[1] - runs[-1][-1][1] <= GAP:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _grid(users: Mapping[tuple[int, int], Sequence[int]], count: int) -> _Grid:
    """The grid of some places, by the rows of the pass that go through each; it has `count` rows."""
    (size, first), (_, last) = min(users), max(users)
    lanes = slice(first * size, (last + 1) * size)
    depth = max(len(rows) for rows in users.values())
    cells = [(place - first) * depth + at for (_, place), rows in users.items() for at in range(len(rows))]
    rows = [row for mine in users.values() for row in mine]
    if rows == list(range(count)) == cells and (last + 1 - first) * depth == count:
        return _Grid(lanes, size, depth)
    source = torch.zeros((last + 1 - first) * depth, dtype=torch.long)
    source[cells] = torch.tensor(rows)
    return _Grid(lanes, size, depth, source, torch.tensor(rows), torch.tensor(cells))


def _laid_out(read: Tensor, grid: _Grid) -> Tensor:
    """What a layer reads, in the cells of a grid: [adapters, rows and their tokens, width]."""
    chosen = read if grid.source is None else read[grid.source]
    adapters = (grid.lanes.stop - grid.lanes.start) // grid.width
    return chosen.reshape(adapters, -1, read.shape[-1])


def _power(width: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << (width - 1).bit_length()
