"""An adapter's bytes become weights of the base's precision, or are refused."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modelecology.serving.engine.admission import WEIGHTS_NAME, admit
from modelecology.serving.engine.fit import LoraWeights, fit
from modelecology.serving.engine.refusal import Refusal
from tests.engines.tiny_base import LAYERS, WIDTH, make_adapter

LINEARS = {
    f"model.layers.{layer}.self_attn.{name}": (WIDTH, written)
    for layer in range(LAYERS)
    for name, written in (("q_proj", WIDTH), ("k_proj", WIDTH // 2), ("v_proj", WIDTH // 2))
}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def fitted(directory: Path, dtype: torch.dtype) -> LoraWeights:
    return fit(admit("dates", str(directory), (), 8), LINEARS, dtype)


@DTYPES
def test_weights_take_the_precision_of_the_base_and_their_scale(tmp_path: Path, dtype: torch.dtype) -> None:
    directory = make_adapter(tmp_path / "adapter", seed=1, rank=4)
    stored = load_file(directory / WEIGHTS_NAME)
    found = fitted(directory, dtype)
    assert set(found.pairs) == {name for name in LINEARS if not name.endswith("k_proj")}
    for name, pair in found.pairs.items():
        down, up = (stored[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
        assert torch.equal(pair.down, down.to(dtype))
        assert torch.equal(pair.up, (2 * up.T).to(dtype))  # alpha is twice the rank
    assert found.rank == 4
    assert found.size == dtype.itemsize * sum(tensor.numel() for tensor in stored.values())


@DTYPES
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_wherever_it_is(
    tmp_path: Path, dtype: torch.dtype, value: float
) -> None:
    directory = make_adapter(tmp_path / "adapter", seed=1)
    stored = load_file(directory / WEIGHTS_NAME)
    list(stored.values())[-1][-1, -1] = value
    save_file(stored, directory / WEIGHTS_NAME)
    with pytest.raises(Refusal, match="not finite"):
        fitted(directory, dtype)
