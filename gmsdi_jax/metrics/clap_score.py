"""Does a clip sound like its words? Their CLAP vectors' cosine, beside that of other words.

The CLAP score is the mean cosine of a clip's vector and its text's (Huang et al. 2023, 2301.12661).
Alone it says little: vectors of audio and of text lie apart in CLAP's space, so that right pairs
may have a cosine of 0.3 and wrong ones of 0.25. Beside it stand the mean cosine with the *other*
texts, and how often the right text is the nearest of all: the accuracy of a classifier that heard
the clip, whose chance level is one over the number of texts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gmsdi_jax.errors import InputError


class ClapScore(NamedTuple):
    """Of a set of clips."""

    score: float
    """The mean cosine with the right text, -1 to 1."""
    negatives: float
    """The mean cosine with the other texts; NaN if there are none."""
    accuracy: float
    """The share of clips whose nearest text is the right one, 0 to 1; NaN without other texts."""
    chance: float
    """The accuracy of guessing."""
    clips: int


def clap_score(
    audio: Float[np.ndarray, "n d"], texts: Float[np.ndarray, "k d"], right: Sequence[int]
) -> ClapScore:
    """The score of clips whose right texts are known.

    A tie between the right text and another counts as wrong.

    Args:
        audio: CLAP vectors of the clips, of any length but 0.
        texts: CLAP vectors of all texts.
        right: for each clip, the row of its text.

    Raises:
        InputError: there are no clips, or the numbers do not fit.
    """
    n, k = len(audio), len(texts)
    if n == 0 or len(right) != n or not all(0 <= index < k for index in right):
        raise InputError(f"{n} clips, {len(right)} right texts of {k}: name one text per clip")
    cosines = _unit(audio) @ _unit(texts).T
    own = cosines[np.arange(n), list(right)]
    others = np.array(cosines)
    others[np.arange(n), list(right)] = -np.inf
    alone = k == 1
    return ClapScore(
        score=float(own.mean()),
        negatives=float("nan") if alone else float((cosines.sum() - own.sum()) / (n * (k - 1))),
        accuracy=float("nan") if alone else float((own > others.max(1)).mean()),
        chance=1 / k,
        clips=n,
    )


def _unit(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    x = np.asarray(vectors, np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)
