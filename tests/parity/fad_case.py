"""Sets of embeddings that the recorder of distances and its test draw alike."""

import numpy as np

CASES = ("plain", "far", "correlated", "dead units", "few")


def embeddings(case: str) -> tuple[np.ndarray, np.ndarray]:
    """A generated set and a reference ``[n d]``, float32 as encoders answer.

    The kinds, in order: unlike means and scales; means that outweigh the rest; directions whose
    variances lie ten decades apart; a last layer with its ReLU, half of whose
    units never fire; fewer embeddings than dimensions.
    """
    rng = np.random.default_rng([7, CASES.index(case)])
    n, m, d = (24, 30, 40) if case == "few" else (260, 300, 32)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    y = y * rng.uniform(0.5, 2, d) + 0.3
    if case == "far":
        x = x + 50
    if case == "correlated":
        mixing = rng.standard_normal((d, d)) * np.logspace(0, -5, d)[:, None]
        x, y = x @ mixing, y @ mixing
    if case == "dead units":
        x, y = np.maximum(x, 0), np.maximum(y, 0)
        x[:, ::2] = y[:, ::2] = 0
    return x.astype(np.float32), y.astype(np.float32)
