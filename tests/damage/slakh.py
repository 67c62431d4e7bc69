"""Damage to Slakh's layout and MSDM's: flac, wav, YAML, MIDI and the folders themselves."""

import shutil
from pathlib import Path

import numpy as np
from layouts import slakh

from damage import edits
from damage.case import Case
from damage.edits import Edit, at, become, cut, flip, hole, link, put
from damage.sounds import flac_total, silent_flac, wav, wav_with

COMMAND = ("data", "slakh")
OPTIONS = ("--splits", "train", "validation")
OPTIONS += ("--jobs", "1", "--chunk", "8192", "--hop", "512")
NOTES = (*OPTIONS, "--labels", "notes")
TRACK, WAV_TRACK, MSDM = "train/Track00002", "train/Track00003", "train/Track00004"
YAML, FLAC = f"{TRACK}/metadata.yaml", f"{TRACK}/stems/S01.flac"
WAV, MIDI = f"{WAV_TRACK}/stems/S01.wav", f"{TRACK}/MIDI/S02.mid"


def source(root: Path) -> Path:
    """Flac, wav and MSDM's layout, in two splits."""
    for name, suffix in ((TRACK, ".flac"), (WAV_TRACK, ".wav"), ("train/Track00001", ".flac")):
        slakh.track(root / name, seconds=1.0, sample_rate=22050, suffix=suffix)
    slakh.msdm(root / MSDM, seconds=1.0)
    slakh.track(root / "validation/Track01501", seconds=1.0, sample_rate=22050)
    return root


def source_with_notes(root: Path) -> Path:
    """The same without MSDM's layout, which has no notes."""
    source(root)
    shutil.rmtree(root / MSDM)
    return root


def _bad(kind: str, damage: str, name: str, do: Edit, *says: str, **rest) -> Case:
    """A file of one track is damaged, and this track alone is skipped."""
    lost = next(track for track in (TRACK, WAV_TRACK, MSDM) if name.startswith(track))
    shown = "skipped " + lost.split("/")[1]
    return Case(kind, damage, at(name, do), (shown, *says), (lost,), **rest)


def _flac(damage: str, do: Edit, *says: str, file: str = "S01.flac") -> Case:
    return _bad("flac", damage, FLAC, do, file, *says)


def _wav(damage: str, do: Edit, *says: str) -> Case:
    return _bad("wav", damage, WAV, do, "S01.wav", *says)


def _yaml(damage: str, text: str | bytes, *says: str) -> Case:
    return _bad("yaml", damage, YAML, become(text), *says)


def _midi(damage: str, do: Edit, *says: str) -> Case:
    return _bad("midi", damage, MIDI, do, "again", *says)


FLACS = [
    _flac("empty", become(b""), "is empty (0 bytes)"),
    _flac("one byte", cut(1), "is not audio that can be read"),
    _flac("cut in its header", cut(30), "is not audio that can be read"),
    _flac("cut at a quarter", cut(0.25), "truncated"),
    _flac("cut in the middle", cut(0.5), "truncated"),
    _flac("cut at 99 %", cut(0.99), "truncated"),
    _flac("without its last byte", cut(-1), "truncated"),
    _flac("a flipped bit in a frame", flip(0.5), "damaged"),
    _flac("a flipped bit near its end", flip(0.97, 5), "damaged"),
    _flac("a flipped sample rate", flip(19, 6), "its header says"),
    _flac("a flipped checksum", flip(30), "checksum"),
    _flac("fewer samples in its header", put(21, flac_total(20_000)), "checksum"),
    _flac("more samples in its header", put(21, flac_total(40_000)), "truncated"),
    _flac("an hour in its header", put(21, flac_total(3600 * 22050)), "truncated"),
    _flac("a month in its header", put(21, flac_total(2**36 - 1)), "longer than 120 minutes"),
    _flac("no length in its header", put(21, flac_total(0)), "does not say how long it is"),
    _flac("a hole of zeros", hole(0.4, 500), "damaged"),
    _flac("a web page", become(edits.HTML), "is not audio that can be read"),
    _flac("ten megabytes of zeros, packed", edits.gz_bomb, "is not audio that can be read"),
    _flac("three hours of silence", become(silent_flac(3 * 3600)), "longer than 120 minutes"),
    _flac("a folder of its name", edits.folder, "is a folder"),
    _flac("a pipe of its name", edits.pipe, "is not a regular file"),
    _flac("not readable", lambda path: path.chmod(0), "may not be read"),
    _flac("a link to nothing", link("nowhere.flac"), "does not exist"),
    _flac("a link to itself", link(f"source/{FLAC}"), "cannot be read"),
    _flac("a link to a device", link("/dev/zero"), "is not a regular file"),
    _flac("a link out to a text", link("outside/secret.txt"), "is not audio that can be read"),
    _bad("flac", "gone", FLAC, edits.vanish, "the audio of stem S01 is lost", "download"),
    Case("flac", "a link out to the same audio", at(FLAC, link("outside/S01.flac")), (),
         code=0, lines=0),
]  # fmt: skip

WAVS = [
    _wav("empty", become(b""), "is empty (0 bytes)"),
    _wav("cut in its header", cut(20), "is not audio that can be read"),
    _wav("cut in the middle", cut(0.5), "truncated: 0.500 s of 1.000 s"),
    _wav("without its last sample", cut(-2), "truncated"),
    _wav("no channels", become(wav(channels=0)), "S01.wav is"),
    _wav("60000 channels", become(wav(channels=60_000)), "S01.wav is"),
    _wav("17 channels", become(wav(np.zeros((99, 17)), subtype="PCM_16")), "has 17 channels"),
    _wav("1 sample a second", become(wav(rate=1, subtype="PCM_16")), "has a sample rate of 1 Hz"),
    _wav("another rate in its header", become(wav(rate_=44100)), "bytes a second"),
    _wav("fewer channels than it has", become(wav(np.zeros((99, 2)), channels=1)), "1 channels of"),
    _wav("fewer samples in its header", become(wav(data=4000)), "more behind its samples"),
    _wav("4 GB in its header", become(wav(data=0x7FFF0000)), "truncated: 1.000 s of"),
    _wav("no samples", become(wav(np.zeros((0, 1)))), "holds no samples"),
    _wav("NaN", become(wav_with(np.nan)), "NaN, infinite", "at 0.500 s"),
    _wav("infinity", become(wav_with(-np.inf)), "NaN, infinite"),
    _wav("a sample of 1e30", become(wav_with(1e30)), "absurdly large"),
    _wav("a text", become("not audio"), "is not audio that can be read"),
    _wav("zeros", become(bytes(4000)), "is not audio that can be read"),
    _bad("wav", "a folder of its name", f"{MSDM}/bass.wav", edits.folder, "is a folder"),
    Case("wav", "a flac of that name", lambda root: shutil.copy(
        root / "train/Track00001/stems/S01.flac", root / "train/Track00001/stems/S01.wav"
    ) and (root / "train/Track00001/stems/S01.flac").unlink(), (), code=0, lines=0),
]  # fmt: skip

_MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)
YAMLS = [
    _yaml("empty", "", "is not the metadata"),
    _yaml("cut", "stems:\n  S00: {inst_class: Ba", "line"),
    _yaml("bytes", bytes(range(256)), "not text in UTF-8"),
    _yaml("zeros", bytes(1000), "is not the metadata"),
    _yaml("a web page", edits.HTML, "is not the metadata"),
    _yaml("aliases that unfold to gigabytes", _MERGES + "stems: *a11\n", "an alias in line 2"),
    _yaml("an alias to itself", "stems: &a {S00: *a}\n", "an alias in line 1"),
    _yaml("nested without end", "stems: " + "[" * 10**5, "nested too deep"),
    _yaml("mappings without end", "stems: " + "{a: " * 10**5, "nested too deep"),
    _yaml("lists without end", "stems:\n" + "- " * 10**5 + "x", "nested too deep"),
    _yaml("an object of Python", "stems: !!python/object/apply:os.mkdir [hacked]\n", "python"),
    _yaml("a list of stems", "stems: [S00, S01]\n", "is not the metadata"),
    _yaml("stems that are text", "stems: {S00: Bass}\n", "S00 is not a mapping"),
    _yaml("a class that is a list", "stems: {S00: {inst_class: [Bass]}}\n", "no inst_class"),
    _yaml("a path as a stem", "stems: {../../S00: {inst_class: Bass}}\n", "'../../S00'"),
    _yaml("a number as a stem", "stems: {7: {inst_class: Bass}}\n", "a stem is called '7'"),
    _yaml("a long name", f"stems: {{{'S' * 900}: {{inst_class: Bass}}}}\n", "is called 'SSS"),
    _yaml("a number of 10000 digits", f"stems: {{S00: {{n: {'1' * 10**4}}}}}\n", "digits"),
    _yaml("two megabytes", "#" * 2 * 10**6, "more than"),
    _bad("yaml", "a pipe of its name", YAML, edits.pipe, "metadata.yaml", "a pipe"),
    _bad("yaml", "a folder of its name", YAML, edits.folder, "metadata.yaml", "directory"),
    _bad("yaml", "a link to nothing", YAML, link("nowhere"), "metadata.yaml", "No such file"),
    _yaml("classes that there are not", "stems: {S00: {inst_class: Kazoo}}\n", "no audio of Bass"),
]

MIDIS = [
    _midi("empty", become(b""), "S02.mid is no MIDI file"),
    _midi("cut in the middle", cut(0.5), "S02.mid is no MIDI file"),
    _midi("without its last byte", cut(-1), "S02.mid is no MIDI file"),
    _midi("no time", put(12, b"\0\0"), "not counted in beats"),
    _midi("time in frames of film", put(12, b"\xe7\x28"), "not counted in beats"),
    _midi("no tracks", put(10, b"\0\0"), "0 tracks, and more may follow"),
    _midi("fewer tracks in its header", put(10, b"\0\1"), "1 tracks, and more may follow"),
    _midi("a thousand tracks in its header", put(10, b"\3\xe8"), "S02.mid is no MIDI file"),
    _midi("songs in place of tracks", put(8, b"\0\2"), "type 2"),
    _midi("a web page", become(edits.HTML), "MThd not found"),
    _midi("a pipe of its name", edits.pipe, "S02.mid is no MIDI file", "a pipe"),
    _midi("gone", edits.vanish, "the notes of stem S02 are lost"),
]


def _replace(name: str, new: str) -> Edit:
    """A folder gives way to a file or to a link to nothing."""

    def edit(root: Path) -> None:
        shutil.rmtree(root / name)
        (root / name).symlink_to("nowhere") if new == "link" else (root / name).write_text("x")

    return edit


def _whole_split(root: Path) -> None:
    """All tracks of one split."""
    for path in (root / "validation").rglob("S0*.flac"):
        path.write_bytes(b"")


FOLDERS = [
    Case("folder", "a track is a file", _replace(TRACK, "file"),
         ("skipped Track00002", "is not a folder", "remove"), (TRACK,)),
    Case("folder", "a track is a link to nothing", _replace(TRACK, "link"),
         ("skipped Track00002", "is not a folder", "remove"), (TRACK,)),
    Case("folder", "a track without files", lambda root: shutil.rmtree(root / MSDM) or
         (root / MSDM).mkdir(), ("skipped Track00004", "no audio of Bass"), (MSDM,)),
    Case("folder", "stems gone", lambda root: shutil.rmtree(root / TRACK / "stems"),
         ("skipped Track00002", "is lost", "download"), (TRACK,)),
    Case("folder", "no track of a split readable", _whole_split,
         ("validation: none of 1 tracks is readable", "is empty"),
         ("validation/Track01501",), lines=2),
    Case("folder", "a split gone", lambda root: shutil.rmtree(root / "validation"),
         ("validation not found", "check SRC"), made=False),
    Case("folder", "a split without tracks", lambda root: shutil.rmtree(root / "validation") or
         (root / "validation").mkdir(), ("holds no track folders", "check SRC"), made=False),
]  # fmt: skip

CASES = [*FLACS, *WAVS, *YAMLS, *FOLDERS]
CASES_WITH_NOTES = MIDIS
