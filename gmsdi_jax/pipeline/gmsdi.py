"""The model as a user holds it: `GMSDI.from_pretrained`, then separate, generate, accompany."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from huggingface_hub import ModelHubMixin
from jaxtyping import Float

from gmsdi_jax import __version__
from gmsdi_jax.arrays import WEIGHTS, digest
from gmsdi_jax.audio import Reader, Writer, probe, read, read_blocks
from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig, read_model_config
from gmsdi_jax.encoders import BOOK, WORDS, PromptBook, open_encoder
from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline.draw import MAX_SECONDS, GenerationConfig, draw
from gmsdi_jax.pipeline.hub import find_model
from gmsdi_jax.pipeline.joined import joined_blocks
from gmsdi_jax.pipeline.result import Squares, Stems, file_name, save_info
from gmsdi_jax.pipeline.stream import WindowSeparator, separate_blocks
from gmsdi_jax.pipeline.texts import chosen
from gmsdi_jax.types import Params
from gmsdi_jax.weights import load_model, save_model


class GMSDI(
    ModelHubMixin,
    library_name="gmsdi_jax",
    paper_url="https://arxiv.org/abs/2403.11706",
    tags=["audio", "music", "source-separation", "diffusion", "jax"],
):
    """A text-conditional model of mixtures with its weights."""

    def __init__(
        self,
        config: ModelConfig,
        params: Params,
        name: str = "model",
        digest: str = "",
        encode: PromptBook | None = None,
    ):
        """See `from_pretrained`; `digest` identifies the weights in provenance records."""
        self.model, self.params = Model(config, encode), params
        self.name, self.digest = name, digest

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        model: str | Path,
        *,
        encoder: str | Path | None = None,
        **hub: Any,
    ) -> "GMSDI":
        """The model in a folder, or on the Hugging Face hub.

        Args:
            model: a folder that holds ``config.json`` and ``model.safetensors``, or the id of such
                a repository, ``owner/name``.
            encoder: folder of the frozen encoder of a model that reads words; by default the
                folder ``encoder`` within the model's, where there is one. Sets of labels need none.
            hub: of `find_model`: revision, token, cache_dir, force_download, local_files_only.

        Raises:
            UnavailableError: it is not there, damaged, or does not fit its configuration.
            ConfigError: ``config.json`` is not valid, or the encoder is another one than the
                model's.
        """
        folder = find_model(model, **hub)
        config = read_model_config(folder)
        config, params = load_model(folder, Model(config).shapes)
        name = folder.resolve().name if Path(model).is_dir() else Path(model).name
        book = _open_book(config, folder, encoder)
        return cls(config, params, name, digest(folder / WEIGHTS), book)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes what `from_pretrained` reads; `save_pretrained` and `push_to_hub` call it."""
        save_model(save_directory, self.model.config, self.params)
        if isinstance(self.model.encode, PromptBook):
            self.model.encode.save(save_directory / BOOK)

    @property
    def labels(self) -> tuple[str, ...]:
        """The stems that the model knows by name."""
        return self.model.config.labels

    def separator(
        self,
        stems: Sequence[str] | None = None,
        config: SeparationConfig | None = None,
        *,
        constrained: str | None = None,
        negative: str = "",
        negatives: Mapping[str, str] | None = None,
        **options,
    ) -> WindowSeparator:
        """A compiled separation, for many songs; what is not given is the model's own.

        See `WindowSeparator`; an empty dict of `negatives` stands for none at all.
        """
        config = config or self.model.config.separation
        stems = list(self.labels) if stems is None else list(stems)
        prompting = chosen(self.model.config, stems, config, constrained, negative, negatives)
        return WindowSeparator(self.model, self.params, stems, config, **prompting, **options)

    def separate(
        self,
        song: str | Path | Float[np.ndarray, "t c"],
        stems: Sequence[str] | None = None,
        config: SeparationConfig | None = None,
        *,
        sample_rate: int | None = None,
        overlap: float = 0.25,
        joined: bool = False,
        seed: int = 0,
        **options,
    ) -> Stems:
        """A song in memory, separated; see `separate_file` for songs of any length.

        Args:
            song: a file, or samples ``[t c]`` with their `sample_rate` (Hz).
            stems: names that the model knows; all of them by default.
            config: the method and its settings; by default the model's own.
            sample_rate: of `song` where it is an array; the model's by default.
            overlap: share of a window that the next one repeats, in [0, 1).
            joined: whether the song is one state whose windows agree at every step; at most 1200 s.
            seed: of all noise.
            options: see `WindowSeparator`.

        Returns:
            The stems and the residual at the song's rate and length; they sum to the song.

        Raises:
            InputError: the file cannot be used, or the array is empty or not ``[t c]``.
            ConfigError: an unknown stem or setting.
        """
        if isinstance(song, str | Path):
            audio, rate = read(song)
        else:
            audio = np.asarray(song, np.float32)
            rate = self.model.config.sample_rate if sample_rate is None else sample_rate
        if audio.ndim != 2 or not len(audio):
            raise InputError(
                f"the song must be an array [t c] of at least a sample, got {audio.shape}"
            )
        separator = self.separator(stems, config, seed=seed, **options)
        started = time.perf_counter()
        separate = joined_blocks if joined else separate_blocks
        blocks = list(separate(separator, [audio], rate, audio.shape[1], overlap))
        parts = np.concatenate(blocks, axis=1)
        info = self._info(
            separator, overlap, joined, time.perf_counter() - started, len(audio) / rate
        )
        named = dict(zip(separator.stems, parts, strict=True))
        return Stems(named, rate, audio - parts.sum(0), info)

    def separate_file(
        self,
        path: str | Path,
        folder: str | Path,
        separator: WindowSeparator,
        *,
        overlap: float = 0.25,
        joined: bool = False,
        extension: str = "wav",
        on_progress: Callable[[float, float], None] = lambda done, total: None,
    ) -> dict[str, Any]:
        """A song of any length, separated as a stream into files in `folder`.

        Every output is opened before anything is computed. The residual is what the stems leave of
        the input, at its own rate and channels, so that all files sum to it.

        Args:
            path: the song.
            folder: where ``<stem>.wav``, ``residual.wav`` and ``gmsdi.json`` go.
            separator: of `separator()`.
            overlap: share of a window that the next one repeats, in [0, 1).
            joined: as in `separate`; memory then grows with the song.
            extension: wav (float, exact), flac, ogg or mp3.
            on_progress: called with seconds done and seconds in all.

        Returns:
            What ``gmsdi.json`` holds.

        Raises:
            InputError: the song cannot be read to its end; nothing is left behind.
            OutputError: the folder cannot be written.
        """
        source, folder = probe(path), Path(folder)
        rate, channels, seconds = source.sample_rate, source.channels, source.seconds
        hop = self.model.config.window * (1 - overlap) / self.model.config.sample_rate
        names = [file_name(stem) for stem in separator.stems]
        started, squares = time.perf_counter(), Squares()
        with ExitStack() as stack:
            out = [
                stack.enter_context(
                    Writer(folder / f"{name}.{extension}", rate, channels, frames=source.frames)
                )
                for name in [*names, "residual"]
            ]
            again = stack.enter_context(Reader(path))
            separate = joined_blocks if joined else separate_blocks
            for stems in separate(
                separator,
                read_blocks(path),
                rate,
                channels,
                overlap,
                lambda done: on_progress(min(done * hop, seconds), seconds),
            ):
                audio = again.take(stems.shape[1])
                residual = (audio.astype(np.float64) - stems.sum(0, np.float64)).astype(np.float32)
                for writer, part in zip(out, [*stems, residual], strict=True):
                    writer.write(part)
                squares.add(audio, stems, residual)
            on_progress(seconds, seconds)
        spent = time.perf_counter() - started
        info = {
            **self._info(separator, overlap, joined, spent, seconds),
            "input": Path(path).name,
            "sample_rate": rate,
            "channels": channels,
            "frames": out[0].frames,
            "sum_error_dbfs": squares.error_dbfs,
            "residual_db": squares.residual_db,
            "clipped_samples": sum(writer.clipped for writer in out),
        }
        save_info(folder, info)
        return info

    def generate(
        self,
        stems: Sequence[str],
        seconds: float = 6.0,
        config: GenerationConfig | None = None,
        *,
        seed: int = 0,
        negative: str = "",
        negatives: Mapping[str, str] | None = None,
    ) -> Stems:
        """A coherent set of stems from text alone (total generation).

        Args:
            stems: one prompt per stem.
            seconds: length, at most 1200.
            config: the sampler and the coupling.
            seed: of all noise.
            negative: a prompt that guidance points away from, instead of the learned null.
            negatives: such prompts of single stems, by their prompts, as the paper has them for
                Bass and Drums.

        Raises:
            ConfigError: an unknown stem or setting, or a coupling that the grid cannot follow.
            NumericsError: the model answered NaN or infinity.
        """
        known = np.zeros((len(stems), self._samples(seconds), 1), np.float32)
        is_known = np.zeros(len(stems), bool)
        return self._draw(stems, known, is_known, seconds, config, seed, negative, negatives)

    def accompany(
        self,
        known: dict[str, str | Path | Float[np.ndarray, "t c"]],
        add: Sequence[str],
        config: GenerationConfig | None = None,
        *,
        seconds: float | None = None,
        seed: int = 0,
        negative: str = "",
        negatives: Mapping[str, str] | None = None,
    ) -> Stems:
        """Stems that go with given ones (partial generation).

        Args:
            known: prompt to file, or to mono samples ``[t 1]`` at the model's rate.
            add: prompts of the stems to draw.
            config: the sampler and the coupling.
            seconds: length; by default the longest known stem's, at most 1200.
            seed: of all noise.
            negative: as in `generate`.
            negatives: as in `generate`.

        Raises:
            InputError: a file cannot be used, or an array is not ``[t 1]``.
            ConfigError: nothing to add or to go with, or as in `generate`.
        """
        if not known or not add:
            raise ConfigError("accompany needs at least one known stem and one to add")
        rate = self.model.config.sample_rate
        given = [
            read(audio, rate, mono=True)[0] if isinstance(audio, str | Path) else audio
            for audio in known.values()
        ]
        for stem, audio in zip(known, given, strict=True):
            if audio.ndim != 2 or audio.shape[1] != 1 or not len(audio):
                raise InputError(
                    f"known stem {stem!r} must be mono samples [t 1], got {audio.shape}"
                )
        seconds = max(len(audio) for audio in given) / rate if seconds is None else seconds
        length = self._samples(seconds)
        stacked = np.zeros((len(known) + len(add), length, 1), np.float32)
        for place, audio in zip(stacked, given, strict=False):
            place[: len(audio)] = audio[:length]
        is_known = np.arange(len(stacked)) < len(known)
        stems = [*known, *add]
        return self._draw(stems, stacked, is_known, seconds, config, seed, negative, negatives)

    def _draw(
        self,
        stems: Sequence[str],
        known: Float[np.ndarray, "k t c"],
        is_known: np.ndarray,
        seconds: float,
        config: GenerationConfig | None,
        seed: int,
        negative: str,
        negatives: Mapping[str, str] | None,
    ) -> Stems:
        config = config or GenerationConfig()
        if not stems:
            raise ConfigError(f"name at least one stem; this model knows {', '.join(self.labels)}")
        if len({file_name(stem) for stem in stems}) < len(stems):
            raise ConfigError(f"stems {', '.join(stems)}: name every stem once")
        started = time.perf_counter()
        told = (negative, negatives)
        drawn = draw(self.model, self.params, list(stems), known, is_known, config, seed, *told)
        info = {
            "task": "accompany" if is_known.any() else "generate",
            "known": [stem for stem, flag in zip(stems, is_known, strict=True) if flag],
            "stems": list(stems),
            "settings": asdict(config),
            "negative": negative,
            "negatives": dict(negatives or {}),
            "seed": seed,
            "evaluations_per_stem": config.evaluations,
            "seconds": seconds,
            "computed_in_seconds": round(time.perf_counter() - started, 3),
            **self._provenance(),
        }
        named = dict(zip(stems, drawn, strict=True))
        return Stems(named, self.model.config.sample_rate, None, info)

    def _samples(self, seconds: float) -> int:
        """The samples of a piece."""
        if not 0 < seconds <= MAX_SECONDS:
            raise ConfigError(f"seconds is {seconds}: take more than 0 and at most {MAX_SECONDS:g}")
        return round(seconds * self.model.config.sample_rate)

    def _info(
        self, separator: WindowSeparator, overlap: float, joined: bool, spent: float, seconds: float
    ) -> dict[str, Any]:
        return {
            "task": "separate",
            "stems": list(separator.stems),
            "settings": {**asdict(separator.config), "overlap": overlap, "joined": joined},
            "seed": separator.seed,
            "evaluations_per_window": separator.evaluations,
            "window_seconds": self.model.config.window / self.model.config.sample_rate,
            "seconds": seconds,
            "computed_in_seconds": round(spent, 3),
            "real_time_factor": round(spent / seconds, 4),
            **self._provenance(),
        }

    def _provenance(self) -> dict[str, Any]:
        device = jax.devices()[0]
        return {
            "model": self.name,
            "model_sha256": self.digest,
            "gmsdi_jax": __version__,
            "jax": jax.__version__,
            "device": f"{jax.device_count()} x {device.device_kind}",
        }


def _open_book(config: ModelConfig, folder: Path, encoder: str | Path | None) -> PromptBook | None:
    """What the model's prompts are looked up in, for a model that reads words."""
    if not isinstance(config.conditioner, WORDS):
        if encoder is not None:
            raise ConfigError(f"encoder {encoder}: this model knows labels only and needs none")
        return None
    own = folder / "encoder"
    place = Path(encoder) if encoder is not None else own if own.is_dir() else None
    opened = None if place is None else open_encoder(config.conditioner, place)
    return PromptBook.load(folder / BOOK, opened)
