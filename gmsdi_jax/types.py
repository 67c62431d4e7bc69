"""The array letters and the types that the whole library shares.

Letters, used in every annotation:

====== ==========================================
``b``  windows of audio (the batch)
``k``  sources (stems)
``t``  samples
``c``  channels
``s``  text tokens
``d``  text features
====== ==========================================

Everything at inference is a *denoiser*: given audio with white noise of standard deviation
``sigma`` added, it returns the expected clean audio. A denoiser, a score and a drift are one
object in three units, ``score = (D - x) / sigma**2`` and ``dx/dsigma = (x - D) / sigma``; the
denoiser is the currency here because it is in audio units (full scale = 1) and because every rule
of the paper becomes an addition. A sampler sees only `Denoiser`, so a task is a function from
denoisers to denoisers.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree


class Text(NamedTuple):
    """Embedded conditioning: what strings have become before they enter a compiled function."""

    embedding: Float[Array, "*b s d"]
    mask: Bool[Array, "*b s"]


def no_text(rows: int) -> Text:
    """Rows of one token that does not count, for a network that hears no text."""
    return Text(jnp.zeros((rows, 1, 1)), jnp.zeros((rows, 1), bool))


class Tokens(NamedTuple):
    """Conditioning before it is embedded: token numbers and which of them count.

    A row whose mask is all false stands for "no text": conditioners answer it with their learned
    null embedding.
    """

    ids: Int[Array, "*b s"]
    mask: Bool[Array, "*b s"]


Prompt = Tokens | Text
"""What a conditioner reads: token numbers, or what a frozen encoder made of the words or audio."""


class Batch(NamedTuple):
    """What training reads: the audio to recover, what is mixed into it, and the text that names it.

    `interference` is None in the paper's recipe, so that no zeros travel. Label-disjoint mixing of
    mixtures puts a second mixture there, none of whose labels is in `prompt`; the network hears the
    sum and must answer with `audio`.
    """

    audio: Float[Array, "b t c"]
    interference: Float[Array, "b t c"] | None
    prompt: Prompt
    rows: Int[Array, " b"] | None = None
    """Each row's number in the global batch, which decides its noise; None counts from 0."""


class Denoiser(Protocol):
    """What a sampler sees: noisy audio of any shape and one noise level, to clean audio."""

    def __call__(self, x: Float[Array, "*x"], sigma: Float[Array, ""], /) -> Float[Array, "*x"]:
        """The posterior mean of the clean audio; ``sigma`` in units of full scale = 1."""
        ...


class TextDenoiser(Protocol):
    """What a model provides: a denoiser of one mixture or stem per row, told by text what it is."""

    def __call__(
        self, x: Float[Array, "b t c"], sigma: Float[Array, "*b"], text: Text, /
    ) -> Float[Array, "b t c"]:
        """The posterior mean given the text; ``sigma`` is one scalar or one number per row."""
        ...


class TextEncoder(Protocol):
    """What makes embeddings of words: a frozen language model, or a book of its answers."""

    def __call__(self, prompts: Sequence[str], /) -> Text:
        """One row per prompt; rows of empty prompts have no token that counts."""
        ...


class Network(Protocol):
    """A raw network, before `gmsdi_jax.diffusion.precondition` makes a denoiser of it."""

    def __call__(
        self, x: Float[Array, "b t c"], c_noise: Float[Array, " b"], text: Text, /
    ) -> Float[Array, "b t c"]:
        """EDM's ``F``: scaled audio in, about unit-variance audio out."""
        ...


class Step(Protocol):
    """One step of a solver, from noise level ``sigma`` to ``sigma_next``.

    A step is handed the denoiser and calls it as often as it likes, so that Heun's method and churn
    are plain code. `keys` holds one random key per window: a window's result depends neither on the
    batch size nor on its neighbours.
    """

    def __call__(
        self,
        keys: Key[Array, " b"],
        denoise: Denoiser,
        x: Float[Array, "b *x"],
        sigma: Float[Array, ""],
        sigma_next: Float[Array, ""],
        /,
    ) -> Float[Array, "b *x"]:
        """The state at ``sigma_next``; noise levels are standard deviations, full scale = 1."""
        ...


class MultiStep(NamedTuple):
    """A solver that remembers earlier answers: a step that hands its memory to the next one."""

    init: Callable[[Float[Array, "b *x"]], PyTree]
    """From the first state to an empty memory."""
    step: Callable[..., tuple[Float[Array, "b *x"], PyTree]]
    """As `Step`, with the memory after the state: ``(keys, denoise, x, memory, sigma, sigma_next)``
    to the next state and memory."""


class TrainState(NamedTuple):
    """All that changes while training: a plain pytree, replaced by every step."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: PyTree
    ema: PyTree
    profiles: PyTree = ()
    """Averages of power-function profile, one per width (`gmsdi_jax.train.averages`)."""
    recent: PyTree = ()
    """Losses and gradient norms of the last steps, where spikes are left out."""


Params = dict[str, Any]
