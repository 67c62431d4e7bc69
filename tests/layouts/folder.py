"""Plain audio in folders, as people have it, with the table that names its labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from layouts.archives import audio_bytes

FILES = {
    "rock/first.wav": ("rock", "guitar"),
    "rock/live/second.flac": ("rock",),
    "jazz/third.ogg": ("jazz", "piano"),
    "jazz/fourth.mp3": ("jazz",),
    "fifth.FLAC": (),
}
"""Each file and its labels in the table."""


def tree(root: Path, files: Sequence[str] = tuple(FILES), *, seconds: float = 1.0) -> Path:
    """Audio of the formats that the names ask for, beside what must not be read."""
    for number, name in enumerate(files):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = audio_bytes(200.0 + 50 * number, seconds, format=path.suffix[1:].upper())
        path.write_bytes(data)
    (root / ".hidden").mkdir(parents=True, exist_ok=True)
    (root / ".hidden" / "not.wav").write_bytes(b"not to be read")
    (root / "._first.wav").write_bytes(b"not to be read")
    (root / "notes.txt").write_text("not audio")
    return root


def table(path: Path, labels: Mapping[str, Sequence[str]] = FILES) -> Path:
    """The table: columns ``file,labels``, labels apart by semicolons."""
    lines = ["file,labels", *(f"{name},{';'.join(own)}" for name, own in labels.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
