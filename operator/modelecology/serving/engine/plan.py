"""How the rows of one pass are computed: which adapters together, and by which products."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from .fit import Pair

GAP: Final = 2
"""Adapters whose places are further apart than this are not computed together, for those between cost too."""

REACH: Final = 128
"""The same in lanes, where rows are one token long: so many are read in the time that a call takes anyhow."""

WASTE: Final = 2
"""How many rows may be computed for each that is wanted, where rows are long."""

DENSE: Final = 512
"""With more rows times lanes an adapter, the product that reads an adapter's weights once is the faster."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of one adapter: as many as its largest rank, side by side."""

    start: int
    width: int

    @property
    def size(self) -> int:
        """How many it takes, with those that lie idle behind it: a block starts at a multiple of its size."""
        return power(self.width)

    @property
    def taken(self) -> slice:
        """All that it takes."""
        return slice(self.start, self.start + self.size)


class Layer:
    """The lanes of one linear layer: those of an adapter hold its weights, all others up to `ready` are 0.

    Behind `ready` memory is not touched, so it costs none.
    """

    def __init__(self, linear: nn.Linear, capacity: int) -> None:
        dtype = linear.weight.dtype
        self.down = torch.empty(capacity, linear.in_features, dtype=dtype)
        self.up = torch.empty(capacity, linear.out_features, dtype=dtype)
        self.ready = 0

    def grow(self, top: int) -> None:
        """Make the lanes up to `top` ready to be read."""
        if top > self.ready:
            self.clear(slice(self.ready, top))
            self.ready = top

    def write(self, start: int, pair: Pair) -> None:
        """Put an adapter's weights into the lanes from `start` on."""
        lanes = slice(start, start + pair.down.shape[0])
        self.down[lanes] = pair.down
        self.up[lanes] = pair.up

    def clear(self, lanes: slice) -> None:
        """Put 0 into lanes."""
        self.down[lanes].zero_()
        self.up[lanes].zero_()


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
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

    @property
    def adapters(self) -> int:
        """How many there are, with those between that no row goes through."""
        count: int = (self.lanes.stop - self.lanes.start) // self.width
        return count

    def laid_out(self, read: Tensor) -> Tensor:
        """What a layer reads, in the cells: [adapters, rows and their tokens, in]."""
        chosen = read if self.source is None else read.index_select(0, self.source)
        return chosen.reshape(self.adapters, -1, read.shape[-1])

    def add(self, up: Tensor, hidden: Tensor, output: Tensor) -> None:
        """Add to a layer's output what its second matrices make of the hidden numbers."""
        if self.rows is None or self.cells is None:
            output.view(len(hidden), -1, output.shape[-1]).baddbmm_(hidden, up)
        else:
            added = torch.bmm(hidden, up).view(-1, *output.shape[1:])
            output.index_add_(0, self.rows, added.index_select(0, self.cells))

    def part(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """A layer's matrices, one an adapter: [adapters, in, width] and [adapters, width, out]."""
        found = self.parts.get(id(layer))
        if found is None:
            down, up = (each[self.lanes].unfold(0, self.width, self.width) for each in (layer.down, layer.up))
            found = self.parts[id(layer)] = down, up.mT
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """The lanes of each row, where rows are one token long: what a row gets is a weighted sum of its own.

    That sum takes the place of the grids' second product: it reads nothing that nobody wants, its rows go
    through adapters in any order, and its call is the cheaper one.
    `lanes` are those of all rows, one after another, from `starts` on each; `order` says where the weight of
    each is among the grids' hidden numbers, and is None where they are in that order themselves.
    """

    lanes: Tensor
    starts: Tensor
    order: Tensor | None

    def add(self, up: Tensor, hidden: Sequence[Tensor], output: Tensor) -> None:
        """Add to a layer's output the sums of its second lanes by the hidden numbers of all grids."""
        weights = hidden[0].view(-1) if len(hidden) == 1 else torch.cat([each.view(-1) for each in hidden])
        if self.order is not None:
            weights = weights.index_select(0, self.order)
        sums = functional.embedding_bag(
            self.lanes, up, self.starts, mode="sum", per_sample_weights=weights, include_last_offset=True
        )
        output.view(sums.shape).add_(sums)


@dataclass(frozen=True, slots=True)
class Plan:
    """The grids of one pass, none if all rows are the base's, and its bags if those are the better."""

    grids: tuple[Grid, ...] = ()
    bags: Bags | None = None


def planned(rows: Sequence[Lanes | None], tokens: int) -> Plan:
    """Plan a pass by the lanes that each row goes through, and how many tokens a row has."""
    users: dict[tuple[int, int], list[int]] = {}
    for row, lanes in enumerate(rows):
        if lanes is not None:
            users.setdefault((lanes.size, lanes.start // lanes.size), []).append(row)
    grids: list[Grid] = []
    for run in _runs(sorted(users), 0 if tokens > 1 else REACH):
        wanted = sum(len(users[place]) for place in run)
        cells = (run[-1][1] - run[0][1] + 1) * max(len(users[place]) for place in run)
        apart = tokens > 1 and cells > WASTE * wanted
        for together in [[place] for place in run] if apart else [run]:
            grids.append(_grid({place: users[place] for place in together}, len(rows)))
    dense = len(grids) == 1 and grids[0].rows is None and grids[0].depth * grids[0].width > DENSE
    bagged = tokens == 1 and grids and not dense
    return Plan(tuple(grids), _bags(grids, len(rows)) if bagged else None)


def power(width: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << (width - 1).bit_length()


def _runs(places: Sequence[tuple[int, int]], reach: int) -> list[list[tuple[int, int]]]:
    """Split sorted places, each a size and a number among those of that size, where they are far apart."""
    runs: list[list[tuple[int, int]]] = []
    for size, number in places:
        gap = max(GAP, reach // size)
        if runs and size == runs[-1][-1][0] and number - runs[-1][-1][1] <= gap:
            runs[-1].append((size, number))
        else:
            runs.append([(size, number)])
    return runs


def _grid(users: Mapping[tuple[int, int], Sequence[int]], count: int) -> Grid:
    """The grid of some places, by the rows of the pass that go through each; it has `count` rows."""
    (size, first), (_, last) = min(users), max(users)
    lanes = slice(first * size, (last + 1) * size)
    depth = max(len(rows) for rows in users.values())
    cells = [(place - first) * depth + at for (_, place), rows in users.items() for at in range(len(rows))]
    rows = [row for mine in users.values() for row in mine]
    if rows == list(range(count)) == cells and (last + 1 - first) * depth == count:
        return Grid(lanes, size, depth)
    source = torch.zeros((last + 1 - first) * depth, dtype=torch.long)
    source[cells] = torch.tensor(rows)
    return Grid(lanes, size, depth, source, torch.tensor(rows), torch.tensor(cells))


def _bags(grids: Sequence[Grid], count: int) -> Bags:
    """The bags of `count` rows, of which those that no grid has stay empty."""
    lanes: list[list[int]] = [[] for _ in range(count)]
    order: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for grid in grids:
        rows = range(count) if grid.rows is None else grid.rows.tolist()
        cells = range(count) if grid.cells is None else grid.cells.tolist()
        for row, cell in zip(rows, cells, strict=True):
            start = grid.lanes.start + cell // grid.depth * grid.width
            lanes[row].extend(range(start, start + grid.width))
            start = before + cell * grid.width
            order[row].extend(range(start, start + grid.width))
        before += grid.adapters * grid.depth * grid.width
    starts = [0]
    for mine in lanes:
        starts.append(starts[-1] + len(mine))
    chosen = torch.tensor([lane for mine in lanes for lane in mine], dtype=torch.int32)
    places = [place for mine in order for place in mine]
    same = places == list(range(before))
    return Bags(chosen, torch.tensor(starts, dtype=torch.int32), None if same else torch.tensor(places))
