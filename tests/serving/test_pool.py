"""Adapters side by side: where they find room, what they add to which rows, and what a dropped one leaves."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modelecology.serving.engine.fit import LoraWeights, Pair
from modelecology.serving.engine.plan import DENSE, REACH
from modelecology.serving.engine.pool import BASE_SLOT, LoraPool

READ, WRITTEN = 3, 5
MOST, RANK = 4, 6


class Model(nn.Module):
    """Two linear layers that are called by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Linear(READ, WRITTEN)
        self.two = nn.Linear(READ, WRITTEN, bias=False)


def weights(seed: int, rank: int, *layers: str) -> LoraWeights:
    draw = torch.Generator().manual_seed(seed)
    pairs = {
        layer: Pair(
            torch.randn(rank, READ, generator=draw),
            torch.randn(rank, WRITTEN, generator=draw),
        )
        for layer in layers
    }
    return LoraWeights(f"/adapters/{seed}", pairs)


def converted(adapter: LoraWeights, dtype: torch.dtype) -> LoraWeights:
    pairs = {name: Pair(pair.down.to(dtype), pair.up.to(dtype)) for name, pair in adapter.pairs.items()}
    return LoraWeights(adapter.path, pairs)


def by_hand(layer: nn.Linear, read: Tensor, adapters: Sequence[LoraWeights | None], name: str) -> Tensor:
    rows = []
    for row, adapter in enumerate(adapters):
        said = layer(read[row])
        pair = adapter.pairs.get(name) if adapter is not None else None
        rows.append(said if pair is None else said + read[row] @ pair.down.T @ pair.up)
    return torch.stack(rows)


@pytest.mark.parametrize("tokens", [1, 4])
@settings(deadline=None)
@given(
    ranks=st.lists(st.integers(1, RANK), min_size=1, max_size=MOST),
    rows=st.lists(st.integers(0, MOST), min_size=1, max_size=9),
    both=st.booleans(),
)
@torch.inference_mode()
def test_each_row_gets_what_its_own_adapter_adds_whatever_runs_beside_it(
    tokens: int, ranks: list[int], rows: list[int], both: bool
) -> None:
    model, plain = Model(), Model()
    pool = LoraPool(model, MOST, RANK)
    adapters = [
        # Some change one layer alone, so a layer has lanes of which an adapter knows nothing.
        weights(number, rank, *(("one", "two") if both or number % 2 else ("one",)))
        for number, rank in enumerate(ranks)
    ]
    slots = [pool.add(each).key for each in adapters]
    chosen = [row if row < len(ranks) else None for row in rows]
    pool.begin([BASE_SLOT if each is None else slots[each] for each in chosen], tokens)
    read = torch.randn(len(rows), tokens, READ, generator=torch.Generator().manual_seed(9))
    mine = [None if each is None else adapters[each] for each in chosen]
    for name in ("one", "two"):
        wanted = by_hand(getattr(plain, name), read, mine, name)
        torch.testing.assert_close(getattr(model, name)(read), wanted)


@pytest.mark.parametrize("tokens", [1, 4])
@torch.inference_mode()
def test_many_rows_of_one_adapter_get_what_it_adds(tokens: int) -> None:
    model, plain = Model(), Model()
    pool = LoraPool(model, MOST, RANK)
    adapter = weights(1, RANK, "one")
    read = torch.randn(DENSE // RANK + 1, tokens, READ, generator=torch.Generator().manual_seed(9))
    pool.begin([pool.add(adapter).key] * len(read), tokens)
    torch.testing.assert_close(model.one(read), by_hand(plain.one, read, [adapter] * len(read), "one"))


@pytest.mark.parametrize("tokens", [1, 4])
@torch.inference_mode()
def test_rows_of_adapters_that_lie_far_apart_get_their_own_and_nothing_of_those_between(tokens: int) -> None:
    model, plain = Model(), Model()
    count = 2 * REACH // RANK
    pool = LoraPool(model, count, RANK)
    adapters = [weights(seed, RANK, "one") for seed in range(count)]
    slots = [pool.add(each).key for each in adapters]
    chosen = [count - 1, 0, count - 1, 1]
    read = torch.randn(len(chosen), tokens, READ, generator=torch.Generator().manual_seed(9))
    pool.begin([slots[each] for each in chosen], tokens)
    wanted = by_hand(plain.one, read, [adapters[each] for each in chosen], "one")
    torch.testing.assert_close(model.one(read), wanted)


@pytest.mark.parametrize("tokens", [1, 4])
@torch.inference_mode()
def test_in_half_precision_a_row_is_as_near_to_the_truth_as_its_numbers_allow(tokens: int) -> None:
    model, plain = Model().bfloat16(), Model().bfloat16().float()
    pool = LoraPool(model, MOST, RANK)
    adapters = [weights(seed, RANK, "one") for seed in range(MOST)]
    halves = [converted(each, torch.bfloat16) for each in adapters]
    slots = [pool.add(each).key for each in halves]
    chosen = [3, 0, 2, 0]
    read = torch.randn(len(chosen), tokens, READ, generator=torch.Generator().manual_seed(9)).bfloat16()
    pool.begin([slots[each] for each in chosen], tokens)
    whole = [converted(each, torch.float32) for each in halves]
    wanted = by_hand(plain.one, read.float(), [whole[each] for each in chosen], "one")
    torch.testing.assert_close(model.one(read).float(), wanted, rtol=2**-7, atol=2**-5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, RANK)), max_size=60))
@torch.inference_mode()
def test_there_is_room_for_as_many_adapters_as_were_promised_whatever_came_and_went(
    changes: list[tuple[bool, int]],
) -> None:
    pool = LoraPool(Model(), MOST, RANK)
    held: list[str] = []
    for number, (adds, rank) in enumerate(changes):
        if adds and len(held) < MOST:
            held.append(pool.add(weights(number, rank, "one")).key)
        elif held:
            pool.drop(held.pop(rank % len(held)))
    assert all(pool.targets(key) == ("one",) for key in held)


@torch.inference_mode()
def test_more_adapters_than_promised_find_no_room() -> None:
    pool = LoraPool(Model(), 1, RANK)
    pool.add(weights(1, RANK, "one"))
    with pytest.raises(RuntimeError, match="no room for an adapter of rank 6"):
        pool.add(weights(2, RANK, "one"))


@torch.inference_mode()
def test_a_dropped_adapter_is_cleared_and_its_room_taken_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Tensor] = []
    empty = torch.empty

    def remembered(*shape: int, dtype: torch.dtype) -> Tensor:
        made.append(empty(*shape, dtype=dtype).fill_(torch.nan))
        return made[-1]

    model = Model()
    monkeypatch.setattr(torch, "empty", remembered)
    pool = LoraPool(model, MOST, 2)
    one, two, three = (weights(seed, 2, "one") for seed in (1, 2, 3))
    first, second = pool.add(one), pool.add(two)
    pool.drop(first.key)
    down, up = made
    assert not down[:2].any()
    assert not up[:2].any()
    pool.add(three)
    assert torch.equal(down[:4], torch.cat([three.pairs["one"].down, two.pairs["one"].down]))
    # What no adapter was written to is never read, or it would be no number.
    pool.begin([second.key, BASE_SLOT], 1)
    assert torch.isfinite(model.one(torch.ones(2, 1, READ))).all()


@torch.inference_mode()
def test_after_the_last_adapter_the_layers_are_as_before() -> None:
    model = Model()
    pool = LoraPool(model, MOST, RANK)
    slot = pool.add(weights(1, 2, "one", "two"))
    assert pool.targets(slot.key) == ("one", "two")
    pool.drop(slot.key)
    pool.drop(slot.key)
    assert pool.targets(slot.key) == ()
    assert not model.one._forward_hooks
    assert not model.two._forward_hooks


@torch.inference_mode()
def test_a_slot_that_is_gone_is_no_slot() -> None:
    pool = LoraPool(Model(), MOST, RANK)
    slot = pool.add(weights(1, 2, "one"))
    pool.begin([slot.key], 1)
    pool.drop(slot.key)
    with pytest.raises(KeyError):
        pool.begin([slot.key], 1)
