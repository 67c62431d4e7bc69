"""What the recorded checkpoints hold, for the script that writes and the test that reads them."""

import ml_dtypes
import numpy as np


def numbers(*shape: int) -> np.ndarray:
    """0, 1, 2 ... in that shape."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def arrays() -> dict[str, np.ndarray]:
    """Names and arrays of the ``state_dict``: all ways for a tensor to lie in its storage."""
    return {
        "plain": numbers(2, 3),
        "transposed": numbers(2, 3).T,
        "every_second_of_a_part": numbers(12)[3:11:2],
        "tied": numbers(2, 3),
        "expanded": np.broadcast_to(numbers(3), (2, 3)),
        "parameter": numbers(4) / 3,
        "scalar": np.float32(0.1).reshape(()),
        "empty": numbers(0, 3),
        "half": (numbers(5) / 3).astype(np.float16),
        "brain": (numbers(5) / 3).astype(ml_dtypes.bfloat16),
        "double": numbers(3).astype(np.float64) / 3,
        "counter": np.array(7),
        "mask": np.array([True, False]),
        "words": np.array([1, 65535], np.uint16),
    }


TOLD = {"attention_heads": 2, "name": "tiny", "factors": [4, 2], "diffusion_sigma_data": 0.2}
"""What is plain in the ``hyper_parameters``; an object of some class is not."""
EMA = numbers(3) + 0.5
"""Weights below another key."""
