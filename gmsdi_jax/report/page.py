"""The page: a template filled in, with its style, its script and its numbers inside.

A browser that opens a page from a disk refuses it every other file that is not a picture, a sound
or the like. So the script, the style and the numbers (as JSON) stand in the page, and only sounds
and spectrograms beside it. Names are escaped by jinja2, in the page as in the JSON.
"""

import contextlib
import hashlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.report import curve
from gmsdi_jax.report.ranking import Song, ranked
from gmsdi_jax.report.run import KEEP_AUDIO, Run
from gmsdi_jax.report.settings import differences, settings
from gmsdi_jax.report.sound import (
    MIXTURE,
    NULL_FLOOR,
    REFERENCE,
    Sounds,
    colour,
    gather,
    kept,
)
from gmsdi_jax.report.tables import changes, scorecards

PAGE = "index.html"
MARK = '<meta name="generator" content="gmsdi report">'
"""A folder whose page holds this may be replaced."""

Progress = Callable[[int, int, str], None]


def write_report(
    run: Run,
    out: Path,
    other: Run | None = None,
    on_progress: Progress = lambda done, total, note: None,
) -> Path:
    """Writes the listening report of an evaluation and returns the path of its page.

    Args:
        run: the evaluation.
        out: the folder to write; a report in it is replaced, all else is refused.
        other: an evaluation to compare with.
        on_progress: called with the number of songs done, of all songs with sound, and a note.

    Raises:
        InputError: a sound of the evaluation cannot be used.
        ConfigError: `out` holds something that is no report.
        OutputError: the folder cannot be written.
    """
    with _replacing(out) as part:
        songs = ranked(run)
        total = sum(kept(run, song.name) is not None for song in songs)
        sounds: list[Sounds | None] = []
        for number, song in enumerate(songs, 1):
            done = sum(found is not None for found in sounds)
            sounds.append(
                gather(
                    run,
                    song.name,
                    number,
                    part,
                    lambda version, done=done, song=song: on_progress(
                        done, total, f"{song.name}, {version}"
                    ),
                )
            )
        page = render(run, songs, sounds, other)
        # Names that no encoding knows must not cost the report.
        (part / PAGE).write_bytes(page.encode("utf-8", "replace"))
    return out / PAGE


def render(
    run: Run, songs: Sequence[Song], sounds: Sequence[Sounds | None], other: Run | None = None
) -> str:
    """The page as HTML; `sounds` belong to `songs`, which are in the order of the page."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        db=decibels,
        percent=curve.percent,
        clock=curve.clock,
        rgb=lambda colour: "rgb({} {} {})".format(*colour),
    )
    return environment.from_string(_resource("report.html.jinja")).render(
        run=run,
        other=other,
        style=_resource("report.css"),
        script="\n".join(_scripts()),
        mark=MARK,
        data=_data(run, songs, sounds),
        cards=scorecards(run),
        songs=list(zip(songs, sounds, strict=True)),
        changes=changes(run, other) if other else [],
        settings=settings(run),
        differences=differences(run, other) if other else [],
        curve=curve,
        colours=[colour(stem) for stem in range(len(run.labels))],
        keep_audio=KEEP_AUDIO,
        null_floor=NULL_FLOOR,
        finite=math.isfinite,
        MIXTURE=MIXTURE,
        REFERENCE=REFERENCE,
    )


def decibels(value: float | None, sign: bool = False, digits: int = 2) -> str:
    """A number for people: a true minus sign, and a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _data(run: Run, songs: Sequence[Song], sounds: Sequence[Sounds | None]) -> dict[str, Any]:
    """What the script needs: songs with sounds, by their number in the page."""
    digest = hashlib.sha256(repr(sorted(settings(run).items())).encode("utf-8", "replace"))
    return {
        "run": f"{run.name}-{digest.hexdigest()[:12]}",
        "stems": run.labels,
        "judged": run.judged,
        "baselines": [name for name in run.methods if run.is_baseline(name)],
        "songs": {
            str(number): {
                "name": song.name,
                "seconds": found.seconds,
                "sounding": [run.labels.index(stem) for stem in song.sounding],
                "versions": [
                    {"name": v.name, "files": v.files, "pictures": v.pictures}
                    for v in found.versions
                ],
            }
            for number, (song, found) in enumerate(zip(songs, sounds, strict=True))
            if found is not None
        },
    }


def _scripts() -> Iterator[str]:
    folder = resources.files("gmsdi_jax.report").joinpath("script")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        yield file.read_text(encoding="utf-8")


def _resource(name: str) -> str:
    return resources.files("gmsdi_jax.report").joinpath(name).read_text(encoding="utf-8")


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of `out` when it is complete, and never before."""
    if out.exists() and not _replaceable(out):
        raise ConfigError(f"{out}: holds something that is no report: name another folder with -o")
    out = out.absolute()  # "." has no name
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replaceable(out: Path) -> bool:
    """Whether a path is an empty folder or an earlier report."""
    if not out.is_dir():
        return False
    page = out / PAGE
    if page.is_file():
        return MARK in page.read_text(encoding="utf-8", errors="replace")
    return not any(out.iterdir())
