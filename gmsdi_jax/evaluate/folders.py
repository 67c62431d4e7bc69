"""Stems that other tools separated, against references: folders of files in, no model involved.

Both sides are laid out as demucs writes: ``TRACK/STEM.wav`` (or flac, mp3, ogg). Stem names are
matched without regard to case and punctuation, so ``Acoustic Guitar`` is ``acoustic-guitar``. The
mixture is the file ``mixture.*`` among the references, or else the sum of all reference stems.

What is scored is mono, as published: the mean of the channels. All files of a track must have one
sample rate, unless one is asked for, to which all are converted. Lengths within 0.1 s of each other
are cut to the shortest. References must be that close; what was separated may be shorter, as the
published pipeline drops the end of a track, and then as much is scored as there is, with a word. A
reference stem that is missing in one track is silent there, as published.

Source: ``load_and_resample_track`` and ``evaluate_separations`` of MSDM's code.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gmsdi_jax.arrays import digest
from gmsdi_jax.audio import probe, read
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError
from gmsdi_jax.evaluate.judge import KeptAudio, Say
from gmsdi_jax.evaluate.result import Evaluation
from gmsdi_jax.evaluate.scorer import OnPlan, OnSong, Run, Scorer, baselines, check
from gmsdi_jax.evaluate.songs import Song
from gmsdi_jax.evaluate.store import FolderStore, MemoryStore
from gmsdi_jax.pipeline.result import file_name

EXTENSIONS = (".wav", ".flac", ".mp3", ".ogg")
MIXTURE = "mixture"
TOLERANCE = 0.1
"""Seconds by which lengths may differ without a word."""

Tracks = dict[str, dict[str, Path]]
"""Files by track and by stem, as `file_name` spells it."""


def evaluate_folders(
    songs: "FolderSongs",
    *,
    protocol: str = "active",
    out: Path | None = None,
    audio: int = 0,
    on_failure: Callable[[InputError], None],
    on_plan: OnPlan = lambda there, missing: None,
    on_song: OnSong = lambda song, method: None,
    say: Say = lambda text: None,
) -> str:
    """Scores stems that others separated; returns the scorecard and saves it under `out`.

    Args:
        songs: the folders.
        protocol: whose scores head the card. ``msdm`` scores all that was separated, as the
            published script does.
        out: folder of the run, where results are kept as they come.
        audio: of how many songs to keep the audio below `out`.
        on_failure: told of every song that cannot be scored; the others are.
        on_plan: called once with how many results are there and how many are to be computed.
        on_song: called with song and method before each is scored.
        say: told what a user should know of kept audio, one line each.

    Raises:
        UnavailableError: no song can be scored.
        ConfigError: an unknown protocol, a folder that is called as a baseline is, or `out` holds
            another evaluation.
        OutputError: `out` cannot be written.
    """
    check(protocol, songs.methods)
    settings = {"stems": list(songs.labels), "sample_rate": songs.sample_rate}
    data = {"path": str(songs.references), "songs": len(songs.names), "seconds": None}
    if out is not None:
        data["fingerprint"] = settings["files"] = songs.fingerprint()
    runs = [Run(name, 0, lambda song, name=name: song.estimates[name]) for name in songs.methods]
    scorer = Scorer(
        [*runs, *baselines()],
        MemoryStore() if out is None else FolderStore(out, settings),
        songs.labels,
        songs.sample_rate,
        chunked=False,
        on_song=on_song,
        audio=KeptAudio(out, audio, songs.labels, songs.sample_rate, say) if out else None,
    )
    about = {
        "labels": list(songs.labels),
        "sample_rate": songs.sample_rate,
        "settings": {name: {"folder": str(path)} for name, path in songs.methods.items()},
        "data": data,
    }
    results = scorer.score_all(songs, on_plan, on_failure)
    costs = {run.method: None for run in scorer.runs}
    evaluation = Evaluation(results, costs, protocol, about)
    if out is not None:
        evaluation.save(out)
    return str(evaluation)


class FolderSongs:
    """The tracks of a folder of references, with what one or more folders hold of them."""

    def __init__(
        self,
        separated: Sequence[Path],
        references: Path,
        stems: Sequence[str] = (),
        sample_rate: int | None = None,
        say: Say = lambda text: None,
    ):
        """Looks at names and headers alone.

        Args:
            separated: folders of ``TRACK/STEM.wav``; each is a method by its name.
            references: such a folder of true stems.
            stems: those to score; by default all that the references have.
            sample_rate: to convert everything to, Hz; by default all have one already.
            say: told what a user should know, one line each.

        Raises:
            UnavailableError: a folder is not there, or holds no track.
            ConfigError: two folders of one name, or stems that a side does not have.
        """
        self.references, self._say, self._said = references, say, set[str]()
        self.methods = {path.resolve().name: path for path in separated}
        if len(self.methods) < len(separated):
            raise ConfigError(f"two folders are called {next(iter(self.methods))}: rename one")
        self._true = _tracks_in(references)
        self._found = {name: _tracks_in(path) for name, path in self.methods.items()}
        self.labels = self._labels(stems)
        self._wanted = [file_name(label) for label in self.labels]
        extra = {track for tracks in self._found.values() for track in tracks} - set(self._true)
        self.names = sorted({*self._true, *extra})
        first = next(iter(self._true.values()))
        self.sample_rate = sample_rate or probe(next(iter(first.values()))).sample_rate
        self._convert = sample_rate is not None

    def _labels(self, stems: Sequence[str]) -> tuple[str, ...]:
        """The stems to score, as the references spell them."""
        spelled = {
            stem: path.stem
            for files in self._true.values()
            for stem, path in files.items()
            if stem != MIXTURE
        }
        wanted = [file_name(stem) for stem in stems] or sorted(spelled)
        sides = {self.references: self._true} | {
            self.methods[name]: tracks for name, tracks in self._found.items()
        }
        for folder, tracks in sides.items():
            has = {stem for files in tracks.values() for stem in files} - {MIXTURE}
            missing = [spelled.get(stem, stem) for stem in wanted if stem not in has]
            if missing:
                common = sorted(set(spelled) & has)
                fix = " ".join(f"-s {stem}" for stem in common) or "other folders"
                raise ConfigError(
                    f"{folder}: no track has {', '.join(missing)}, only {', '.join(sorted(has))}: "
                    f"take {fix}"
                )
        return tuple(spelled[stem] for stem in wanted)

    def fingerprint(self) -> str:
        """A digest of all files that are scored; it reads them.

        Raises:
            InputError: one cannot be read.
        """
        whole = hashlib.sha256()
        for tracks in (self._true, *self._found.values()):
            for track, files in sorted(tracks.items()):
                for stem, path in sorted(files.items()):
                    try:
                        whole.update(f"{track}/{stem} {digest(path)}\n".encode(errors="replace"))
                    except OSError as error:
                        raise InputError(f"{path} cannot be read ({error.strerror})") from error
            whole.update(b"\n")
        return whole.hexdigest()

    def load(self, number: int) -> Song:
        """Reads a track from all folders.

        Raises:
            InputError: it is missing on one side, or rates or lengths do not fit.
        """
        track = self.names[number]
        true = self._files(self.references, self._true, track)
        found = {name: self._separated(name, track) for name in self.methods}
        stems = {s: self._read(path) for s, path in true.items() if s != MIXTURE}
        silent = [
            label for label, s in zip(self.labels, self._wanted, strict=True) if s not in true
        ]
        if silent:
            self._tell(f"{self.references / track}: no {', '.join(silent)}: taken as silent")
        mixture = self._read(true[MIXTURE]) if MIXTURE in true else None
        estimates = {
            name: [self._read(files[stem]) for stem in self._wanted]
            for name, files in found.items()
        }
        others = [audio for each in estimates.values() for audio in each]
        end = self._end(track, stems, others if mixture is None else [*others, mixture])
        cut = {stem: audio[:end] for stem, audio in stems.items()}
        zeros = np.zeros(end, np.float32)
        rest = [audio for stem, audio in cut.items() if stem not in self._wanted]
        return Song(
            track,
            np.sum(list(cut.values()), axis=0) if mixture is None else mixture[:end],
            np.stack([cut.get(stem, zeros) for stem in self._wanted]),
            np.stack(rest) if rest else None,
            {name: np.stack([audio[:end] for audio in each]) for name, each in estimates.items()},
        )

    def _separated(self, name: str, track: str) -> dict[str, Path]:
        """A method's files of a track, of which none is missing."""
        files = self._files(self.methods[name], self._found[name], track)
        missing = [stem for stem in self._wanted if stem not in files]
        if missing:
            raise InputError(
                f"{self.methods[name] / track}: no {', '.join(missing)}: separate it again"
            )
        return files

    def _files(self, folder: Path, tracks: Tracks, track: str) -> dict[str, Path]:
        if track not in tracks:
            raise InputError(f"{folder}: no track {track}, which another folder has")
        return tracks[track]

    def _read(self, path: Path) -> Float[np.ndarray, " t"]:
        """A file as mono audio at the rate of all."""
        info = probe(path)
        if info.sample_rate != self.sample_rate and not self._convert:
            raise InputError(
                f"{path}: {info.sample_rate} Hz, where others have {self.sample_rate} Hz: convert "
                f"all with --sample-rate {min(info.sample_rate, self.sample_rate)}"
            )
        if info.channels > 1:
            self._tell("files have several channels: their mean is scored")
        return read(path, self.sample_rate, mono=True)[0][:, 0]

    def _end(
        self, track: str, stems: Mapping[str, np.ndarray], others: Sequence[np.ndarray]
    ) -> int:
        """Where the shortest file ends; references must be close to each other."""
        if not stems:
            raise InputError(f"{self.references / track}: there is no stem")
        lengths, allowed = {s: len(x) for s, x in stems.items()}, TOLERANCE * self.sample_rate
        shortest = min(lengths, key=lengths.__getitem__)
        early = max(lengths.values()) - lengths[shortest]
        if early > allowed:
            raise InputError(
                f"{self.references / track}: {shortest} ends {early / self.sample_rate:.2f} s "
                "before another stem: export the stems at one length"
            )
        ends = [lengths[shortest], *map(len, others)]
        if max(ends) - min(ends) > allowed:
            first, last = (end / self.sample_rate for end in (min(ends), max(ends)))
            self._tell(f"{track}: files end at {first:.2f} to {last:.2f} s: scored to the first")
        return min(ends)

    def _tell(self, text: str) -> None:
        """Says it once."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _tracks_in(folder: Path) -> Tracks:
    """The files of every track of a folder.

    Raises:
        UnavailableError: the folder is not there, or holds no track.
        ConfigError: two files are one stem.
    """
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is no folder: name one of TRACK/STEM.wav")
    tracks = {path.name: _stems_in(path) for path in sorted(folder.iterdir()) if _is_open(path)}
    tracks = {name: files for name, files in tracks.items() if files}
    if not tracks:
        below = [path for path in sorted(folder.iterdir()) if _is_open(path)]
        deeper = [p for p in below if any(_stems_in(q) for q in p.iterdir() if _is_open(q))]
        hint = f"did you mean {deeper[0]}?" if deeper else "name a folder that has some"
        raise UnavailableError(f"{folder}: holds no TRACK/STEM.wav; {hint}")
    return tracks


def _is_open(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _stems_in(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            if file_name(path.stem) in found:
                raise ConfigError(
                    f"{path} and {found[file_name(path.stem)].name} are one stem: remove one"
                )
            found[file_name(path.stem)] = path
    return found
