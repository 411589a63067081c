"""The threads that read adapters beside the running requests."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import torch

MOST: Final = 4
"""How many adapters are read at once; a store that hangs must not keep all others waiting."""


def readers() -> ThreadPoolExecutor:
    """Make threads in which torch computes on one core.

    Every thread in which it takes several keeps helpers of its own. As soon as there are more of them than
    cores, OpenMP lets all of them sleep between any two products, those of the model's thread too. On cores
    of its own a step of the batch then took 1.6 times as long, with adapters twice, from the first load on.
    """
    return ThreadPoolExecutor(MOST, "reader", initializer=torch.set_num_threads, initargs=(1,))
