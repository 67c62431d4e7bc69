"""Separation of a stream of audio: any length, rate and number of channels, in constant memory.

    blocks -> model's rate -> windows -> stems of windows -> overlap-add -> the song's rate ->
    blocks

Every channel is a row of its own: a mono model keeps the stereo image, because both channels of a
window hear the same noise. A window's random key comes from the seed and the window's number, so
the result does not depend on how many windows share a call.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import islice
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled
from jaxtyping import Array, Float, Int

from gmsdi_jax.audio import OverlapAdd, StreamResampler, plan, windows
from gmsdi_jax.baselines.msdm import joint
from gmsdi_jax.build import Model
from gmsdi_jax.compose import uncertainty, windowed
from gmsdi_jax.distributed import MANY, BatchedCall, Plan, Spread, shard_rows
from gmsdi_jax.errors import ConfigError, NumericsError
from gmsdi_jax.methods import Prompts, SeparationConfig, draw, separate, separate_joint
from gmsdi_jax.pipeline.texts import constrained_last, prompt_shapes, prompts_for, with_rest
from gmsdi_jax.prompts import presence
from gmsdi_jax.types import Params, no_text


class WindowSeparator:
    """A compiled separation of windows into the stems asked for, on all devices of this process.

    What the model knows but nobody asked for is one more text, the *rest*: the texts together cover
    the mixture, and the rest's stem ends up in the residual. A result depends neither on the number
    of devices nor on how many windows share a call.
    """

    def __init__(
        self,
        model: Model,
        params: Params,
        stems: Sequence[str],
        config: SeparationConfig,
        *,
        constrained: str | None = None,
        negative: str = "",
        negatives: Mapping[str, str] | None = None,
        rows: int | Literal["auto"] | None = None,
        most: int = MANY,
        devices: Sequence[Any] | None = None,
        memory: int | None = None,
        seed: int = 0,
    ):
        """Nothing is compiled before the plan is asked for or the first window comes.

        Args:
            model: the model.
            params: its weights; their shapes (`Model.shapes`) do for what is never called.
            stems: what to return, in order.
            config: the method.
            constrained: the stem that ``dirac`` leaves to be the rest of the others; by default the
                paper's best choice, Drums, where it is asked for, else what nobody asked for, else
                the last stem.
            negative: a prompt that guidance points away from, instead of the learned null.
            negatives: such prompts of single stems, by name, as the paper has them for Bass.
            rows: windows times channels per compiled call: a number, or ``auto`` for as many as fit
                the memory, which takes up to three compilations to find out. By default that is
                done on accelerators; on CPUs, where more do not make it faster, 2, or one per
                device.
            most: windows times channels that a song has, where known: no call is made for more.
            devices: of `jax.local_devices()`; by default all.
            memory: bytes that each device has; by default it is asked what is free.
            seed: of all noise.

        Raises:
            ConfigError: no stem, a stem twice, a name the model does not know, `constrained` is not
                among the stems, or no rows.
        """
        self.model, self.config, self.stems, self.seed = model, config, tuple(stems), seed
        texts = with_rest(model, stems)
        if model.reads_nothing and not model.is_joint:
            raise ConfigError(
                f"this model knows {', '.join(model.config.labels)} alone, and one stem separates "
                "nothing: put several together with gmsdi_jax.baselines.msdm.weakly"
            )
        if model.is_joint:
            prompts, places, self._method = None, *_by_channels(model, stems, constrained)
            sources = 1
        else:
            order = constrained_last(texts, stems, constrained)
            ordered = [texts[i] for i in order]
            ahead = isinstance(jax.tree.leaves(params)[0], jax.ShapeDtypeStruct)
            prompts = (
                prompt_shapes(model, params, len(ordered))
                if ahead
                else prompts_for(model, params, ordered, negative, negatives)
            )
            places, self._method = np.argsort(order)[: len(stems)], separate
            sources = len(texts)
        self.evaluations, self.warning = config.evaluations(sources), config.warning(len(texts))
        self._places = places

        def run(spread: Spread, params, prompts, key, numbers, mixture) -> Array:
            keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
            denoise = spread(model.denoiser(params))
            return self._method(keys, denoise, prompts, mixture, config)[:, places]

        self._call = BatchedCall(
            run,
            (params, prompts, jax.random.key(seed)),
            (
                jax.ShapeDtypeStruct((), np.uint32),
                jax.ShapeDtypeStruct((model.config.window, 1), np.float32),
            ),
            config.rows(sources),
            windows=rows,
            most=most,
            devices=devices,
            memory=memory,
        )

    def with_seed(self, seed: int) -> "WindowSeparator":
        """The same separation with other noise, without compiling it again."""
        other = copy(self)
        *shared, _ = self._call.placed
        other.seed, other._call = seed, self._call.with_placed(*shared, jax.random.key(seed))
        return other

    @property
    def plan(self) -> Plan:
        """How windows share a call and devices share it, as ``8 devices, 96 rows per call``.

        Raises:
            UnavailableError: not even one window fits the memory.
        """
        return self._call.plan

    @property
    def rows(self) -> int:
        """Windows times channels per compiled call."""
        return self.plan.windows

    def compile(self) -> Compiled:
        """Compiles now; without it the first window takes that much longer."""
        return self._call.compile()

    def __call__(
        self, batch: Float[np.ndarray, "n t c"], first: int
    ) -> Float[np.ndarray, "n k t c"]:
        """The stems of `n` windows, the first of which has number `first`.

        Raises:
            NumericsError: the model answered with NaN or infinity.
        """
        n, length, channels = batch.shape
        rows = np.moveaxis(batch, 2, 1).reshape(n * channels, length, 1)
        numbers = np.repeat(np.arange(first, first + n, dtype=np.uint32), channels)
        stems = self._call(numbers, rows)[..., 0]
        if not np.isfinite(stems).all():
            raise NumericsError(
                f"the model answered NaN in window {first}: use fewer extreme settings"
            )
        return np.moveaxis(stems.reshape(n, channels, len(self.stems), length), 1, 3)

    def joined(self, song: Float[np.ndarray, "t c"], overlap: float) -> Float[np.ndarray, "k t c"]:
        """The stems of a song at the model's rate, sampled as one state (`compose.windowed`).

        Its overlapping windows see the same noise, and what they answer is cross-faded at every
        step. All channels hear the same noise; as many rows as planned share a network call.

        Raises:
            NumericsError: the model answered with NaN or infinity.
        """
        stems = self._whole(self._method, song, overlap)[:, self._places]
        return np.moveaxis(stems[:, :, : len(song), 0], 0, 2)

    def uncertainty(
        self, song: Float[np.ndarray, "t c"], overlap: float
    ) -> Float[np.ndarray, "k m f"]:
        """How much the draws of a song disagree (`compose.uncertainty`): 0 to 1, m frames, f bins.

        The song is at the model's rate and one state, as in `joined`; its channels are averaged.

        Raises:
            ConfigError: fewer than two draws, or a method that draws nothing.
            NumericsError: the model answered with NaN or infinity.
        """
        if self.config.draws < 2 or self.config.method == "direct" or self.model.is_joint:
            raise ConfigError(
                "uncertainty needs a model that hears text, a method that samples, and draws of at "
                "least 2"
            )
        size, smoothing = self.config.fft, self.config.smoothing

        def spread(*arguments) -> Array:
            return uncertainty(draw(*arguments)[:, :, self._places], size, *smoothing)[:, :, 0]

        return self._whole(spread, song, overlap).mean(0)

    def _whole(
        self, method: Callable[..., Array], song: Float[np.ndarray, "t c"], overlap: float
    ) -> np.ndarray:
        """`method`, called as `methods.separate`, on a whole song: ``[c t 1]`` is its mixture."""
        window, mesh, rows = self.model.config.window, self._call.mesh, self.plan.rows
        hop = max(1, round(window * (1 - overlap)))

        @jax.jit
        def run(params: Params, prompts: Prompts, key: Array, mixture: Array) -> Array:
            denoise = windowed(shard_rows(self.model.denoiser(params), mesh), window, hop, rows)
            keys = jnp.repeat(jax.random.fold_in(key, 0)[None], mixture.shape[0], 0)
            return method(keys, denoise, prompts, mixture, self.config)

        rows_in = np.moveaxis(song, 1, 0)[..., None]  # a channel is a row of its own
        missing = max(0, window - len(song))  # a short song is one padded window
        rows_in = np.pad(rows_in, ((0, 0), (0, missing), (0, 0)))
        answer = np.asarray(run(*self._call.placed, jnp.asarray(rows_in)))
        if not np.isfinite(answer).all():
            raise NumericsError("the model answered NaN: use fewer extreme settings")
        return answer


def separate_blocks(
    separator: WindowSeparator,
    blocks: Iterable[Float[np.ndarray, "n c"]],
    sample_rate: int,
    channels: int,
    overlap: float = 0.25,
    on_window: Callable[[int], None] = lambda done: None,
) -> Iterator[Float[np.ndarray, "k n c"]]:
    """Stems at the song's own rate and exact length, as they become final.

    Args:
        separator: the compiled separation.
        blocks: the song, full scale = 1.
        sample_rate: of the song, Hz.
        channels: of the song.
        overlap: share of a window that the next one repeats, in [0, 1).
        on_window: called with the number of windows done.

    Raises:
        ConfigError: `overlap` is not in [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap is {overlap}: take at least 0 and less than 1")
    config, k = separator.model.config, len(separator.stems)
    counted = _Counted(blocks)
    stream = windows(
        _resampled(counted, sample_rate, config.sample_rate, channels),
        plan(config.window, overlap),
    )
    joined = OverlapAdd(stream.plan)
    back = StreamResampler(config.sample_rate, sample_rate, k * channels)
    returned, done = 0, 0

    def up(block: Float[np.ndarray, "k n c"], last: bool = False) -> Float[np.ndarray, "k n c"]:
        flat = np.moveaxis(block, 0, 1).reshape(block.shape[1], k * channels)
        wide = back.push(flat, last=last)
        return np.moveaxis(wide.reshape(len(wide), k, channels), 1, 0)

    group = max(1, separator.rows // channels)
    while some := list(islice(stream, group)):
        for stems in separator(np.stack([window for _, window in some]), some[0][0]):
            block = up(joined.push(stems))
            returned += block.shape[1]
            done += 1
            on_window(done)
            yield block
    if counted.frames:
        # A few samples at a high rate may be none at the model's: then all is padding.
        rest = np.zeros((k, 0, channels), np.float32)
        if done:
            rest = up(joined.finish(stream.frames), last=True)
        missing = counted.frames - returned
        rest = rest[:, :missing]
        yield np.pad(rest, ((0, 0), (0, missing - rest.shape[1]), (0, 0)))


class _Counted:
    """Blocks, and how many frames they had."""

    def __init__(self, blocks: Iterable[np.ndarray]):
        self.frames = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.frames += len(block)
            yield block


def _resampled(
    blocks: Iterable[np.ndarray], rate_in: int, rate_out: int, channels: int
) -> Iterator[np.ndarray]:
    resampler = StreamResampler(rate_in, rate_out, channels)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.push(np.zeros((0, channels), np.float32), last=True)


def _by_channels(
    model: Model, stems: Sequence[str], constrained: str | None
) -> tuple[Int[np.ndarray, " k"], Callable[..., Array]]:
    """For a network whose channels are the stems: theirs, and how windows are separated.

    The constrained stem is the first channel, MSDM's bass, unless one is named.

    Raises:
        ConfigError: a stem names several channels, or the constrained one none.
    """
    labels = model.config.labels
    last = labels[0] if constrained is None else constrained
    channels = presence([*stems, last], labels)
    for stem, row in zip([*stems, last], channels, strict=True):
        if row.sum() != 1:
            raise ConfigError(f"stem {stem!r}: name one of {', '.join(labels)}, each is a channel")
    *places, at = channels.argmax(1).tolist()

    def method(keys, denoise, prompts, mixture, config) -> Array:
        del prompts

        def wordless(x: Float[Array, "b t k"], sigma: Float[Array, ""]) -> Float[Array, "b t k"]:
            return denoise(x, sigma, no_text(x.shape[0]))

        return separate_joint(keys, joint(wordless), len(labels), mixture, config, at)

    return np.array(places), method
