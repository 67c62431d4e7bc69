"""One compiled function for any number of rows."""

from collections.abc import Callable

import numpy as np

_ROWS = 8


def in_chunks(
    function: Callable[..., np.ndarray], *arrays: np.ndarray, rows: int = _ROWS
) -> np.ndarray:
    """What `function` answers to all rows, asked for `rows` of them at a time.

    The last call is filled with copies of the first row, so that there is one shape to compile.
    """
    answers = []
    for first in range(0, len(arrays[0]), rows):
        parts = [array[first : first + rows] for array in arrays]
        count = len(parts[0])
        filled = [np.concatenate([p, np.repeat(p[:1], rows - count, axis=0)]) for p in parts]
        answers.append(np.asarray(function(*filled))[:count])
    return np.concatenate(answers)
