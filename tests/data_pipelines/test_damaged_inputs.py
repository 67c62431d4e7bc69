"""Whole commands on damaged inputs: one clear line each, the exit code, and nothing else.

Every case (``tests/damage``) damages a copy of a small data set in the layout of the real one and
runs ``gmsdi`` on it. It holds that

* the exit code is that of `gmsdi_jax.errors`, and stderr has one line that names file or track and
  says why and what to do, and not a word of the libraries below;
* all other tracks are prepared, sample for sample as from the whole source;
* what is lost stands in the manifest, and no file beside OUT is written, changed or touched.

Left out is what no reader can tell: a bit flipped among the samples of a wav or inside a frame of
an mp3, neither of which has a checksum, or in a note of a MIDI file; a table that ends early, where
a line ends; a tar that is not there at all.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from damage import edits, folder, jamendo, prepared, slakh
from damage.bench import Bench, assert_equal, check_lines, leftovers, snapshot, tracks
from encoders.tiny import clap_folder

from data_pipelines.prepare import Cut, shard_tasks
from data_pipelines.slakh import plans
from gmsdi_jax.cli import main
from gmsdi_jax.data import WindowConfig, open_split, training_batches
from gmsdi_jax.errors import GMSDIError

SOURCES = {
    "slakh": (slakh, slakh.source, slakh.OPTIONS, slakh.CASES),
    "notes": (slakh, slakh.source_with_notes, slakh.NOTES, slakh.CASES_WITH_NOTES),
    "jamendo": (jamendo, jamendo.source, jamendo.OPTIONS, jamendo.CASES),
    "folder": (folder, folder.source, folder.OPTIONS, folder.CASES),
}
FROM_SOURCES = [
    pytest.param(name, case, id=f"{name} {case.name}")
    for name, (*_, cases) in SOURCES.items()
    for case in cases
]
INSPECTED = [*prepared.CASES, *prepared.ONLY_SEEN_BY_INSPECT]
ONE_TRACK_PER_SHARD = (*slakh.OPTIONS, "--tracks-per-shard", "1")


def by_name(case) -> str:
    return case.name


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    """Each command with its source as it should be, and what a link may lead to outside."""
    made = {}
    for name, (place, source, options, _) in SOURCES.items():
        root = tmp_path_factory.mktemp(name)
        source(root / "source")
        (root / "outside").mkdir()
        (root / "outside" / "secret.txt").write_text("a secret\n" * 1000)
        if place is slakh:
            shutil.copy(root / "source" / slakh.FLAC, root / "outside" / "S01.flac")
        made[name] = Bench(place.COMMAND, options, root)
    return made


@pytest.mark.parametrize(("name", "case"), FROM_SOURCES)
def test_a_damaged_source(name, case, benches, tmp_path, capfd):
    if case.damage == "not readable" and os.geteuid() == 0:
        pytest.skip("root reads everything")
    benches[name].check(case, tmp_path, capfd.readouterr)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The source, and what is prepared of it: one track per shard, with embeddings."""
    root = tmp_path_factory.mktemp("prepared")
    slakh.source(root / "source")
    assert run(*slakh.COMMAND, root / "source", root / "out", *ONE_TRACK_PER_SHARD) == 0
    prepared.embed(root / "out")
    return root


@pytest.fixture
def out(data, tmp_path):
    """A copy of the prepared data, to damage."""
    shutil.copytree(data / "out", tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("case", INSPECTED, ids=by_name)
def test_inspect_finds_it_and_shows_the_other_split(case, out, capfd):
    case.do(out)
    before = snapshot(out.parent)
    capfd.readouterr()
    assert run("data", "inspect", out, "--verify") == case.code
    said = capfd.readouterr()
    check_lines(said.err, case)
    assert "validation: 1 tracks" in said.out
    assert snapshot(out.parent) == before


def batches(out: Path, **options):
    """Some batches that touch every record."""
    iterator = training_batches(
        open_split(out / "train"), prepared.WINDOW, 16, 0, WindowConfig(**options)
    )
    return [next(iterator) for _ in range(6)]


@pytest.mark.parametrize("case", prepared.CASES, ids=by_name)
def test_training_does_not_begin_or_stops_at_it(case, out):
    case.do(out)
    before = snapshot(out.parent)
    with pytest.raises(GMSDIError) as caught:
        batches(out, embeddings="means" if case.kind == "embeddings" else None)
    assert caught.value.exit_code == case.code
    for fragment in case.says:
        assert fragment in str(caught.value)
    assert snapshot(out.parent) == before


@pytest.mark.parametrize("case", prepared.SHARDS[5:6] + prepared.LEVELSS[-2:-1], ids=by_name)
def test_training_goes_on_where_it_may(case, data, out):
    """With other records in the place of the damaged ones, each named once."""
    whole = batches(data / "out")  # not the copy: its reader may still look ahead in mapped files
    case.do(out)
    told = []
    split = open_split(out / "train")
    config = WindowConfig(max_bad=3)
    iterator = training_batches(split, prepared.WINDOW, 16, 0, config, on_damage=told.append)
    found = [next(iterator) for _ in range(6)]
    assert 1 <= len(told) <= 3
    assert len({line.split(" (")[0] for line in told}) == len(told)
    assert all("is damaged at record" in line for line in told)
    same = [
        np.array_equal(got, wanted)
        for one, other in zip(found, whole, strict=True)
        for got, wanted in zip(one.audio, other.audio, strict=True)
    ]
    assert 0.5 < np.mean(same) < 1
    with pytest.raises(GMSDIError, match=r"is damaged at record \d"):
        batches(out)


HALF_DONE = {
    "a report cut": (".report-00001-of-00004.json", edits.cut(0.5)),
    "a report nested without end": (".report-00001-of-00004.json", edits.become("[" * 10**5)),
    "a report of other types": (".report-00001-of-00004.json", edits.sub("{}", "3")),
    "a report that leads elsewhere": (
        ".report-00001-of-00004.json",
        edits.sub("shard-00001", "../shard-00001"),
    ),
    "a shard flipped": (prepared.shard(1)[6:], edits.flip(0.3)),
    "a shard cut": (prepared.shard(1)[6:], edits.cut(0.5)),
    "a shard gone": (prepared.shard(1)[6:], edits.vanish),
    "levels cut": (".levels-00001-of-00004.npy", edits.cut(0.5)),
    "levels gone": (".levels-00001-of-00004.npy", edits.vanish),
}


@pytest.fixture(scope="module")
def half_done(data):
    """What a run leaves that was killed before the end."""
    root = data / "half"
    cut = Cut(chunk=8192, hop=512, tracks_per_shard=1)
    plan = plans(data / "source", splits=("train",), hop=512)["train"]
    for task in shard_tasks(root / "train", plan, cut):
        task.write()
    (root / "train" / ".shard-00002-of-00004.0123.tmp").write_bytes(b"half a shard")
    return root


@pytest.mark.parametrize("damage", HALF_DONE)
def test_a_run_over_damaged_leftovers_makes_them_again(damage, data, half_done, tmp_path, capfd):
    out = tmp_path / "out"
    shutil.copytree(half_done, out)
    name, edit = HALF_DONE[damage]
    edit(out / "train" / name)
    capfd.readouterr()
    assert run(*slakh.COMMAND, data / "source", out, *ONE_TRACK_PER_SHARD) == 0
    assert capfd.readouterr().err == ""
    assert_equal(tracks(out), tracks(data / "out"))
    assert not leftovers(out)
    for path in (data / "out").glob("*/*.*"):
        assert (out / path.relative_to(data / "out")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "edit", "code"),
    [
        ("manifest.json", edits.cut(0.5), 3),
        ("manifest.json", edits.become("[" * 10**5), 3),
        ("manifest.json", edits.folder, 4),
        (prepared.shard(2)[6:], edits.vanish, 4),
        ("levels.npy", edits.vanish, 4),
    ],
)
def test_a_run_over_finished_data_notices_what_is_gone(name, edit, code, data, out, capfd):
    edit(out / "train" / name)
    before = snapshot(out.parent)
    capfd.readouterr()
    assert run(*slakh.COMMAND, data / "source", out, *ONE_TRACK_PER_SHARD) == code
    [line] = capfd.readouterr().err.splitlines()
    assert f"train/{name}" in line
    assert snapshot(out.parent) == before


def test_every_run_names_the_tracks_that_the_first_one_skipped(data, tmp_path, capfd):
    shutil.copytree(data / "source", tmp_path / "source")
    edits.at(slakh.FLAC, edits.cut(0.5))(tmp_path / "source")
    said = []
    for _ in range(2):
        capfd.readouterr()
        assert run(*slakh.COMMAND, tmp_path / "source", tmp_path / "out", *slakh.OPTIONS) == 3
        said.append(capfd.readouterr().err)
    assert said[0] == said[1]
    assert "skipped Track00002" in said[0]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The folder of a tiny CLAP."""
    return clap_folder(tmp_path_factory.mktemp("encoder") / "clap")


def test_embed(data, encoder, out, capfd):
    """A damaged split keeps no other from being embedded, and damaged parts are made again."""
    command = ("data", "embed", out, "--encoder", encoder, "--window", prepared.WINDOW)
    edits.flip(20_000)(out / prepared.shard(1))
    capfd.readouterr()
    assert run(*command) == 3
    said = capfd.readouterr()
    [line] = said.err.splitlines()
    assert f"{prepared.shard(1)} is damaged at record" in line
    assert said.out.split() == [str(out / "validation/embeddings/clap")]
    assert not (out / "train/embeddings/clap/embeddings.json").exists()
    made = snapshot(out / "validation")

    shutil.copy(data / "out" / prepared.shard(1), out / prepared.shard(1))
    (out / "validation/manifest.json").rename(out / "manifest")
    for name in ("train/embeddings/means/embeddings.json", "validation/levels.npy"):
        assert (out / name).exists()
    assert run(*command) == 4
    assert "validation/manifest.json is missing" in capfd.readouterr().err
    (out / "manifest").rename(out / "validation/manifest.json")

    whole = (out / "train/embeddings/clap").glob("*")
    whole = {path: path.read_bytes() for path in whole}
    for part, edit in zip(sorted(whole), (edits.cut(0.5), edits.flip(-1)) * 5, strict=False):
        edit(part)
    assert run(*command) == 0
    assert {path: path.read_bytes() for path in whole} == whole
    assert snapshot(out / "validation").keys() == made.keys()


BOMBS = """
import json, resource, sys
from damage import slakh
from pathlib import Path
from gmsdi_jax.cli import main

root = Path(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
main([*slakh.COMMAND, str(root / "whole"), str(root / "out"), *slakh.OPTIONS])
before = peak()
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, held + 2**30))
codes = [
    main([*slakh.COMMAND, str(bomb), str(root / f"out-{bomb.name}"), *slakh.OPTIONS])
    for bomb in sorted(root.glob("bomb-*"))
]
print(json.dumps({"codes": codes, "more": peak() - before}))
"""
_BIG = ("aliases", "nested", "without end", "silence", "hour", "month", "4 GB", "device", "packed")


def test_bombs_take_no_memory(benches, tmp_path):
    """In a process of its own, which may take a gigabyte more than a whole source needs."""
    bombs = [case for case in slakh.CASES if any(word in case.damage for word in _BIG)]
    whole = benches["slakh"].root / "source"
    shutil.copytree(whole, tmp_path / "whole")
    for number, case in enumerate(bombs):
        place = tmp_path / f"bomb-{number:02d}"
        shutil.copytree(whole, place / "source")
        case.do(place / "source")
        (place / "source").rename(tmp_path / "x")
        shutil.rmtree(place)
        (tmp_path / "x").rename(place)
    ran = subprocess.run(
        (sys.executable, "-c", BOMBS, tmp_path),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["codes"] == [3] * len(bombs)
    assert len(bombs) >= 9
    assert said["more"] < 200  # MiB


def test_these_are_more_than_a_hundred():
    assert len(FROM_SOURCES) + len(INSPECTED) >= 250
    kinds = {case.values[1].kind for case in FROM_SOURCES} | {case.kind for case in INSPECTED}
    wanted = "flac wav ogg mp3 aiff yaml midi tar tsv csv webdataset shard levels manifest"
    assert kinds >= {*wanted.split(), "embeddings", "link", "folder", "name"}
