"""``gmsdi data download``: Slakh2100, BabySlakh or MTG-Jamendo from their publishers.

Whatever interrupts it, the same command goes on where it was; what is there and verified is left
alone. Prints the folder to give to the command that prepares the data.
"""

import dataclasses
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from tyro.conf import Positional, arg

from data_pipelines.download import BABYSLAKH, SLAKH, Patience, RemoteFile, Told, Wishes, fetch
from data_pipelines.download.jamendo import LISTS_AT, MIRRORS, SUMS, TARS, lists, parse_parts, tars
from gmsdi_jax.cli.options import Quiet, parse
from gmsdi_jax.console import Advance, Console
from gmsdi_jax.errors import ConfigError, GMSDIError

ARCHIVES = {"slakh": SLAKH, "babyslakh": BABYSLAKH}
ABOUT = {
    "slakh": "Slakh2100 (CC BY 4.0), 105 GB, twice as much while it is unpacked",
    "babyslakh": "BabySlakh (CC BY 4.0), 20 tracks of Slakh2100 at 16 kHz, 1 GB",
    "jamendo": "MTG-Jamendo, 156 GB in 100 tars: each track has a Creative Commons licence of its "
    "own, listed in audio_licenses.txt, some without commercial use or changes; the lists are "
    "CC BY-NC-SA 4.0",
}
"""Said at the start, with the licence."""
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Download:
    """Download a data set: resumable, verified, unpacked with care. Prints the folder to prepare.

    The same command goes on where it was stopped, and does nothing once all is there.
    """

    dataset: Annotated[
        Positional[Literal["slakh", "babyslakh", "jamendo"]], arg(metavar="slakh|babyslakh|jamendo")
    ]
    """Slakh2100 (redux), 20 tracks of it, or MTG-Jamendo in low quality."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Where it goes."""
    parts: Annotated[str | None, arg(metavar="0-97,98,99", help_behavior_hint="")] = None
    """Jamendo: which of the tars 0 to 99; by default all."""
    metadata_only: bool = False
    """Jamendo: the lists of tracks, tags, splits and licences, no audio."""
    mirror: Annotated[str | None, arg(metavar="cdn|mtg|URL", help_behavior_hint="")] = None
    """Where the audio is: a folder on a server; cdn (default) and mtg are Jamendo's own."""
    lists_mirror: Annotated[str | None, arg(metavar="URL", help_behavior_hint="")] = None
    """Jamendo: a folder on a server with a copy of the repository, instead of GitHub."""
    unpack: bool = False
    """Jamendo: make folders of the tars, too; Slakh is unpacked anyway."""
    no_unpack: bool = False
    """Slakh: leave the archive as it is."""
    keep_archive: bool = False
    """Keep an archive that was unpacked."""
    verify: bool = False
    """Compare what is there with its checksums again, which reads all of it."""
    tries: int = 8
    """Tries in a row without success before it gives up."""
    timeout: float = 60.0
    """Seconds without data after which a connection counts as broken."""
    quiet: Quiet = False
    """Say nothing but errors."""

    def __post_init__(self) -> None:
        jamendo = self.dataset == "jamendo"
        for flag in () if jamendo else ("parts", "metadata_only", "lists_mirror", "unpack"):
            if getattr(self, flag) not in (None, False):
                raise ConfigError(f"--{flag.replace('_', '-')} is for jamendo, not {self.dataset}")
        if self.unpack and self.no_unpack:
            raise ConfigError("--unpack and --no-unpack: take one of them")
        if self.metadata_only and (self.parts is not None or self.unpack):
            raise ConfigError("--metadata-only brings no tars: leave out --parts and --unpack")
        for flag in ("mirror", "lists_mirror"):
            url = getattr(self, flag)
            if url is not None and not (jamendo and flag == "mirror" and url in MIRRORS):
                _check_url(flag, url)

    def wishes(self) -> Wishes:
        """What is to be done with the archives."""
        return Wishes(
            unpack=self.unpack or (self.dataset != "jamendo" and not self.no_unpack),
            keep_archive=self.keep_archive,
            verify=self.verify,
            patience=Patience(tries=self.tries, timeout=self.timeout),
        )


def _check_url(flag: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        name = flag.replace("_", "-")
        raise ConfigError(f"--{name} {url!r}: give an address such as https://host/folder")


def download(arguments: Sequence[str], console: Console) -> int:
    """Runs ``data download`` and returns its exit code, 3 or 4 if some files failed."""
    options = parse(Download, "data download", arguments)
    console.quiet = options.quiet
    parts = parse_parts(f"0-{TARS - 1}" if options.parts is None else options.parts)
    wishes = options.wishes()
    console.say(ABOUT[options.dataset])
    with _Stages(console) as stages:
        told = Told(stages, stages.say, stages.fail)
        try:
            if options.dataset == "jamendo":
                failed = _jamendo(options, parts, wishes, told)
            else:
                failed = fetch([_archive(options)], options.out, wishes, told)
        except KeyboardInterrupt:
            stages.say("stopped: the same command goes on where it was")
            raise
    if failed:
        if options.dataset == "jamendo":
            console.say(f"{len(failed)} could not be had, the others are there: run again for them")
        return next(iter(failed.values())).exit_code
    print(_to_prepare(options, wishes), flush=True)
    return 0


def _archive(options: Download) -> RemoteFile:
    """The archive of Slakh2100 or BabySlakh, from wherever it is to come."""
    file = ARCHIVES[options.dataset]
    if options.mirror is None:
        return file
    return dataclasses.replace(file, url=f"{options.mirror.rstrip('/')}/{file.path}")


def _jamendo(
    options: Download, parts: tuple[int, ...], wishes: Wishes, told: Told
) -> dict[str, GMSDIError]:
    """The lists first: one of them says what the tars must be."""
    failed = fetch(lists(options.lists_mirror or LISTS_AT), options.out, wishes, told)
    if options.metadata_only or SUMS in failed:
        return failed
    mirror = options.mirror or "cdn"
    wanted = tars(options.out / SUMS, parts, MIRRORS.get(mirror, mirror))
    return failed | fetch(wanted, options.out, wishes, told)


def _to_prepare(options: Download, wishes: Wishes) -> Path:
    """The folder that holds the splits, or the tars and the lists."""
    file = ARCHIVES.get(options.dataset)
    if file is None or file.archive is None or not wishes.unpack:
        return options.out
    return options.out / file.archive.folder


class _Stages:
    """Progress of one stage after the other: a file that comes, is checked, is unpacked."""

    def __init__(self, console: Console) -> None:
        self._console, self._stage = console, ""
        self._open = ExitStack()
        self._advance: Advance = lambda done, total, note: None
        self._started, self._first = 0.0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Shows that so many bytes of a stage are done."""
        now = time.monotonic()
        if stage != self._stage or done < self._first:
            self._end()
            self._stage, self._started, self._first = stage, now, done
            self._advance = self._open.enter_context(self._console.progress(stage, "MB"))
        # Without what an earlier run brought, which would make the rest look quick.
        brought, wanted = done - self._first, max(done, total) - self._first
        speed = brought / MB / max(now - self._started, 1e-3)
        self._advance(brought / MB, wanted / MB, f"{speed:.1f} MB/s")

    def say(self, text: str) -> None:
        """One line, below which the next stage starts."""
        self._end()
        self._console.say(text)

    def fail(self, error: GMSDIError) -> None:
        """One line of a file that failed."""
        self._end()
        self._console.error(error)

    def _end(self) -> None:
        self._open.close()
        self._stage = ""
