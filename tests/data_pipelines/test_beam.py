"""A Beam job writes what a local run writes, byte for byte, and goes on where either was stopped.

Runs where apache-beam is installed: ``make test-beam``. The answers to those who lack it are tested
everywhere.
"""

import hashlib
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import slakh

from data_pipelines import beam as beam_job
from data_pipelines import slakh as slakh_plans
from data_pipelines.beam import _WriteShard, pipeline_options, prepare_with_beam
from data_pipelines.corpus import Plan, SourceAudio
from data_pipelines.mixtures import Mixture
from data_pipelines.prepare import Cut, prepare, shard_tasks
from data_pipelines.tars import Member
from gmsdi_jax.cli import main
from gmsdi_jax.data import open_split
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError

CUT = Cut(chunk=2**14, hop=512, tracks_per_shard=2)
TWO_PROCESSES = ("direct_num_workers=2", "direct_running_mode=multi_processing")


@pytest.fixture(scope="module")
def direct():
    """Beam's options for this process; skips where apache-beam is missing."""
    pytest.importorskip("apache_beam")
    return pipeline_options("DirectRunner")


class Noise:
    """A source that needs no file; it counts how often it was read, and can fail."""

    labels = ()

    def __init__(self, name, log, error=None):
        self.name, self.log, self.error = name, log, error

    def read(self, sample_rate):
        with self.log.open("a") as file:
            file.write(f"{self.name}\n")
        if self.error:
            raise self.error
        rng = np.random.default_rng(sum(map(ord, self.name)))
        return SourceAudio(0.1 * rng.standard_normal((2, 20000)).astype(np.float32))


def noise_plan(log, count=6, errors=None):
    sources = tuple(Noise(f"T{n}", log, (errors or {}).get(n)) for n in range(count))
    return {"train": Plan("train", ("Bass", "Drums"), "window", sources, "by hand")}


def contents(folder):
    """The checksum of every file, hidden ones as well."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Slakh's layout, with one damaged file."""
    root = tmp_path_factory.mktemp("slakh") / "redux"
    slakh.redux(root)
    (root / "train/Track00002/stems/S00.flac").write_bytes(b"no audio")
    return root


@pytest.fixture(scope="module")
def local(source, tmp_path_factory):
    """What a local run makes of it."""
    out = tmp_path_factory.mktemp("local")
    manifests = prepare(slakh_plans.plans(source, hop=CUT.hop), out, CUT, jobs=1)
    return out, manifests


@pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_the_output_is_that_of_a_local_run_byte_for_byte(direct, source, local, tmp_path, options):
    steps = []
    made = prepare_with_beam(
        slakh_plans.plans(source, hop=CUT.hop),
        tmp_path / "out",
        CUT,
        pipeline_options("DirectRunner", options),
        on_progress=steps.append,
    )
    out, manifests = local
    assert made == manifests
    assert contents(tmp_path / "out") == contents(out)
    assert "Track00002" in made["train"].damaged
    assert [len(made[split].tracks) for split in ("train", "validation", "test")] == [2, 1, 2]
    assert [(step.split, step.done, step.total) for step in steps] == [
        ("train", 2, 3),
        ("train", 3, 3),
        ("validation", 1, 1),
        ("test", 2, 2),
    ]
    assert [list(step.skipped) for step in steps] == [["Track00002"], [], [], []]
    assert len(list(open_split(tmp_path / "out/test", verify=True).tracks())) == 2


def test_a_second_job_reads_nothing(direct, tmp_path):
    log = tmp_path / "log"
    first = prepare_with_beam(noise_plan(log), tmp_path / "out", CUT, direct)
    before = contents(tmp_path / "out")
    assert prepare_with_beam(noise_plan(log), tmp_path / "out", CUT, direct) == first
    assert sorted(log.read_text().split()) == [f"T{n}" for n in range(6)]
    assert contents(tmp_path / "out") == before


def test_a_job_goes_on_where_a_local_run_was_stopped(direct, tmp_path):
    def stop(step):
        raise KeyboardInterrupt

    log, out = tmp_path / "log", tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(noise_plan(log), out, CUT, jobs=1, on_progress=stop)
    steps = []
    prepare_with_beam(noise_plan(log), out, CUT, direct, on_progress=steps.append)
    assert sorted(log.read_text().split()) == [f"T{n}" for n in range(6)]  # each once
    assert [step.done for step in steps] == [2, 4, 6]
    prepare(noise_plan(log), tmp_path / "whole", CUT, jobs=1)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_local_run_goes_on_where_a_job_failed(direct, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    broken = noise_plan(log, errors={5: RuntimeError("a worker\nran out of memory")})
    with pytest.raises(OutputError, match=r"ran out of memory.*run again") as caught:
        prepare_with_beam(broken, out, CUT, direct)
    assert "\n" not in str(caught.value)
    assert not (out / "train/manifest.json").exists()
    kept = {path.name for path in out.glob("train/.report-*")}
    assert kept <= {f".report-{n:05d}-of-00003.json" for n in (0, 1)}
    prepare(noise_plan(log), out, CUT, jobs=1)
    prepare(noise_plan(log), tmp_path / "whole", CUT, jobs=1)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_damaged_track_is_tried_again_while_the_split_is_unfinished(direct, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    errors = {0: InputError("T0 is damaged"), 5: RuntimeError("stop")}
    with pytest.raises(OutputError):
        prepare_with_beam(noise_plan(log, errors=errors), out, CUT, direct)
    made = prepare_with_beam(noise_plan(log), out, CUT, direct)["train"]
    assert made.damaged == {}
    assert len(made.tracks) == 6


def test_a_split_of_damaged_tracks_alone_is_an_error_and_the_others_are_made(direct, tmp_path):
    errors = {n: InputError(f"T{n} is damaged") for n in range(6)}
    bad = noise_plan(tmp_path / "log", errors=errors)["train"]
    good = replace(noise_plan(tmp_path / "log")["train"], split="test")
    with pytest.raises(InputError, match="train: none of 6 tracks is readable: T0 is damaged"):
        prepare_with_beam({"train": bad, "test": good}, tmp_path / "out", CUT, direct)
    assert len(open_split(tmp_path / "out/test").manifest.tracks) == 6
    with pytest.raises(InputError, match="train: none of 6"):
        prepare({"train": bad, "test": good}, tmp_path / "local", CUT, jobs=1)
    assert contents(tmp_path / "out/test") == contents(tmp_path / "local/test")


def test_other_settings_are_refused(direct, tmp_path):
    plans = noise_plan(tmp_path / "log")
    prepare_with_beam(plans, tmp_path / "out", CUT, direct)
    with pytest.raises(ConfigError, match="hop 512, now 256"):
        prepare_with_beam(plans, tmp_path / "out", Cut(chunk=2**14, hop=256), direct)


def test_workers_that_write_elsewhere_are_noticed(direct, tmp_path, monkeypatch):
    monkeypatch.setattr(beam_job, "PATIENCE", 0.0)
    monkeypatch.setattr(beam_job, "_run", lambda tasks, options: None)
    with pytest.raises(OutputError, match=r"00000-of-00003 after the job.*share"):
        prepare_with_beam(noise_plan(tmp_path / "log"), tmp_path, CUT, direct)


def test_out_is_a_whole_path(direct, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="whole path"):
        prepare_with_beam(noise_plan(tmp_path / "log"), Path("out"), CUT, direct)


def test_the_tasks_of_all_of_mtg_jamendo_fit_into_one_request():
    rng = random.Random(0)
    tags = tuple(f"genre---{rng.getrandbits(40):x}" for _ in range(195))
    sources = []
    for _ in range(5561):  # a tenth of it
        name = f"{rng.randrange(100):02d}/{rng.randrange(1400000)}"
        tar = Path(f"/mnt/share/data/mtg-jamendo/raw_30s_audio-low-{name[:2]}.tar")
        place = Member(tar, f"{name}.low.mp3", rng.getrandbits(30), rng.getrandbits(23))
        sources.append(Mixture(name, tuple(rng.sample(tags, 4)), place, rng.random()))
    plan = Plan("train", tags, "track", tuple(sources), "")
    step = _WriteShard.of(shard_tasks(Path("/mnt/share/out/train"), plan, Cut()))
    assert len(step.packed) < 0.1 * 5e6
    assert len(step._tasks) == 696
    assert step._tasks[-1].sources == plan.sources[-1:]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("streaming", None),
        ("region=europe-west4", None),
        ("temp_location=gs://bucket/a=b", None),
        ("region", "region"),
        ("--region=x", "KEY=VALUE"),
        ("=x", "KEY=VALUE"),
        ("", "KEY=VALUE"),
        ("direct_num_workers=many", "direct_num_workers: invalid int value: 'many'"),
        ("streaming=perhaps", "streaming"),
    ],
)
def test_options_of_beam(direct, option, message, capsys):
    if message is None:
        key, _, value = option.partition("=")
        made = pipeline_options("DirectRunner", [option]).get_all_options()
        assert made[key] == (value or True)
    else:
        with pytest.raises(ConfigError, match=message):
            pipeline_options("DirectRunner", [option])
    assert capsys.readouterr().err == ""


def test_without_beam_the_answer_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UnavailableError, match=r'pip install "gmsdi-jax\[beam\]"'):
        pipeline_options("DirectRunner")
    with pytest.raises(UnavailableError, match="apache-beam is not installed"):
        prepare_with_beam(noise_plan(tmp_path / "log"), tmp_path, CUT, None)


def test_on_the_command_line(direct, source, local, tmp_path, capfd):
    options = ("--chunk", "16384", "--hop", "512", "--tracks-per-shard", "2")
    command = ["data", "slakh", str(source), str(tmp_path), *options, "--runner", "DirectRunner"]
    assert main([*command, "--beam-option", "direct_num_workers=1"]) == 3
    assert contents(tmp_path) == contents(local[0])
    said = capfd.readouterr()
    assert said.out.startswith("train: 2 tracks")
    assert "skipped Track00002" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("SRC", "--beam-option", "region=x"), 2, "--beam-option needs a --runner"),
        (("redux", "--runner", "FlinkRunner"), 2, "redux: --runner FlinkRunner needs the whole"),
        (("SRC", "--runner", "DirectRunner"), 4, "apache-beam is not installed"),
    ],
)
def test_refusals_of_the_command_line(
    source, tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    given = [str(source) if argument == "SRC" else argument for argument in arguments]
    assert main(["data", "slakh", given[0], str(tmp_path / "out"), *given[1:]]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
