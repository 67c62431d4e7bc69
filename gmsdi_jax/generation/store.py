"""What listeners heard, kept on disk under what it depends on: a second call reads no audio.

An entry's name is the digest of the listener (weights and choices), of the bytes of the clip's
files and of where it was cut. A file that was renamed or copied is known again, one that changed is
not; several runs may share a folder. Entries that nobody asks for any more only take their place.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmsdi_jax.arrays import digest
from gmsdi_jax.errors import InputError, OutputError
from gmsdi_jax.generation.clips import Clip, load, part
from gmsdi_jax.generation.listeners import Listener

_BATCH = 8
"""Clips that are heard in one call, if they have one length."""
Rows = Float[np.ndarray, "m d"]


class Store:
    """Arrays by name in a folder, each written whole or not at all."""

    def __init__(self, folder: Path):
        """Nothing is read or written yet."""
        self.folder = folder
        self._digests: dict[Path, str] = {}

    def name(self, listener: Listener, clip: Clip) -> str:
        """Of the entry for this clip."""
        files = sorted(self._digest(path) for path in clip.source.files)
        about = [listener.key, files, clip.start, clip.frames]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def get(self, name: str) -> Rows | None:
        """The entry of that name; None if there is none that can be read."""
        try:
            return np.load(self._path(name), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def put(self, name: str, rows: Rows) -> None:
        """Keeps an entry.

        Raises:
            OutputError: the folder cannot be written.
        """
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.part")
            with temporary.open("wb") as file:
                np.save(file, rows)
            temporary.replace(path)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}): choose another --cache"
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.npy"

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = digest(path)
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        return self._digests[path]


def read_words(
    texts: Sequence[str], listener: Listener, store: Store
) -> Float[np.ndarray, "k d"] | None:
    """The vectors of words, kept as those of clips are; None of a listener that reads none."""
    if listener.words is None:
        return None
    name = hashlib.sha256(json.dumps([listener.key, "words", *texts]).encode()).hexdigest()
    vectors = store.get(name)
    if vectors is None:
        vectors = listener.words(texts)
        store.put(name, vectors)
    return vectors


def listen(
    clips: Sequence[Clip],
    listeners: Sequence[Listener],
    store: Store,
    on_clip: Callable[[str], None] = lambda track: None,
) -> list[list[Rows]]:
    """For each listener, what it hears of each clip; only what is not in the store is computed.

    Args:
        clips: those of one source stand together, so that it is read once.
        listeners: all hear the same samples.
        store: where answers are kept.
        on_clip: called with the track of each clip, once all listeners have been asked for it.

    Raises:
        InputError: a file is damaged, or a clip too short for a listener.
        OutputError: the store cannot be written.
    """
    heard: list[list[Rows | None]] = [[None] * len(clips) for _ in listeners]
    waiting = [
        _Waiting(listener, store, rows) for listener, rows in zip(listeners, heard, strict=True)
    ]
    for source, group in groupby(range(len(clips)), lambda i: clips[i].source):
        audio = None
        for i in group:
            for ear in waiting:
                name = store.name(ear.listener, clips[i])
                ear.rows[i] = store.get(name)
                if ear.rows[i] is None:
                    audio = load(source) if audio is None else audio
                    ear.add(i, name, clips[i], part(audio, clips[i]))
            on_clip(source.track)
    for ear in waiting:
        ear.flush()
    return [[row for row in rows if row is not None] for rows in heard]


class _Waiting:
    """Clips of one length, until there are enough of them for a call."""

    def __init__(self, listener: Listener, store: Store, rows: list[Rows | None]):
        self.listener, self.rows, self._store = listener, rows, store
        self._kind = (0, 0)
        self._clips: list[tuple[int, str, Float[np.ndarray, " t"]]] = []

    def add(self, index: int, name: str, clip: Clip, audio: Float[np.ndarray, " t"]) -> None:
        if clip.frames < self.listener.least * clip.sample_rate:
            raise InputError(
                f"{clip.source.files[0]}: {clip.frames / clip.sample_rate:.2f} s are too short for "
                f"{self.listener.name}, which hears {self.listener.least} s or more: take it out"
            )
        kind = (clip.sample_rate, clip.frames)
        if kind != self._kind or len(self._clips) == _BATCH:
            self.flush()
        self._kind = kind
        self._clips.append((index, name, audio))

    def flush(self) -> None:
        if not self._clips:
            return
        audio = np.stack([audio for _, _, audio in self._clips])
        answers = self.listener.hear(audio, self._kind[0])
        for (index, name, _), rows in zip(self._clips, answers, strict=True):
            self._store.put(name, rows)
            self.rows[index] = rows
        self._clips = []
