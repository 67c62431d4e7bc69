"""Damaged checkpoints: found out, set aside, replaced by the one before; never passed on."""

import shutil
from collections import Counter

import numpy as np
import orbax.checkpoint as ocp
import pytest
from train.checkpoint_states import bits, names, save_steps, spoil, state_of

from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.train.checkpoint import Checkpoints, manifest


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Steps 1 and 2, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("whole")
    save_steps(folder, 1, 2)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "c")


def flip(data, rng):
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))


def truncate(data, rng):
    del data[rng.integers(len(data)) :]


def append(data, rng):
    data += rng.bytes(int(rng.integers(1, 100)))


def zero(data, rng):
    start = int(rng.integers(len(data)))
    data[start : start + 64] = bytes(len(data[start : start + 64]))


def damage(step, way, rng):
    """Does one thing to one file, or to two, or to a folder of a step."""
    files = sorted(path for path in step.rglob("*") if path.is_file() and path.stat().st_size)
    one, two = (files[i] for i in rng.choice(len(files), 2, replace=False))
    if way == "delete":
        one.unlink()
    elif way == "delete folder":
        folders = sorted({path.parent for path in files} - {step})
        shutil.rmtree(folders[rng.integers(len(folders))])
    elif way == "swap":
        data = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(data)
    else:
        data = bytearray(one.read_bytes())
        way(data, rng)
        one.write_bytes(data)


WAYS = (flip, truncate, append, zero, "delete", "delete folder", "swap")


def outcomes(whole, folder, count, seed):
    """Damages a copy so often; what came of each. Anything silent fails here."""
    rng, found = np.random.default_rng(seed), Counter()
    right = {step: bits(state_of(step)) for step in (1, 2)}
    for number in range(count):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        damage(folder / "2", WAYS[number % len(WAYS)], rng)
        events = []
        checkpoints = Checkpoints(folder, keep=5, on_event=events.append)
        state, position = checkpoints.restore(state_of(0))
        step = int(state.step)
        checkpoints.close()
        assert bits(state) == right[step]
        assert position == {"n": step}
        assert names(folder) == ({"1", "2"} if step == 2 else {"1", "2.bad"})
        assert len(events) == (0 if step == 2 else 1)
        assert all(len(line) < 400 and "\n" not in line for line in events)
        found["harmless" if step == 2 else "detected"] += 1
    return found


def test_40_damages(whole, folder, capfd, caplog):
    """Every one is detected or harmless, and only our one line is said."""
    found = outcomes(whole, folder, 42, seed=0)
    assert found["detected"] + found["harmless"] == 42
    assert min(found.values()) > 5
    assert capfd.readouterr().err == ""
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_200_damages(whole, folder):
    found = outcomes(whole, folder, 210, seed=1)
    assert found["detected"] + found["harmless"] == 210
    assert min(found.values()) > 25


def test_flipped_weights_are_named(folder):
    """What Orbax restores without a word: the line names the array, and the file is kept."""
    spoil(folder / "2")
    before = sorted(path.name for path in (folder / "2").rglob("*"))
    events = []
    checkpoints = Checkpoints(folder, keep=5, on_event=events.append)
    assert checkpoints.latest == 2
    assert int(checkpoints.restore(state_of(0))[0].step) == 1
    (line,) = events
    assert line.startswith(f"{folder / '2'}: failed verification: ")
    assert line.endswith(" has other values than were saved, set aside as 2.bad; using step 1")
    assert sorted(path.name for path in (folder / "2.bad").rglob("*")) == before
    checkpoints.save(2, state_of(2), {"n": 2})
    checkpoints.close()
    assert int(checkpoints.restore(state_of(0))[0].step) == 2


def test_an_array_that_is_not_found_is_damage(folder):
    """Where its name is wrong Orbax leaves it alone, in a whole state and in a part of it."""
    file = folder / "2" / "state" / "_METADATA"
    file.write_text(file.read_text().replace("'ema'", "'emu'").replace('"ema"', '"emu"'))
    events = []
    checkpoints = Checkpoints(folder, keep=5, on_event=events.append)
    assert bits(checkpoints.restore_ema(state_of(0).ema)) == bits(state_of(1).ema)
    assert int(checkpoints.restore(state_of(0))[0].step) == 1
    assert all("failed verification: ema/kernel cannot be read" in line for line in events)
    assert len(events) == 2


def test_a_name_that_is_taken(folder):
    """What was set aside before stays."""
    (folder / "2.bad").mkdir()
    spoil(folder / "2")
    Checkpoints(folder, keep=5, on_event=lambda line: None).restore(state_of(0))
    assert names(folder) == {"1", "2.bad", "2.bad2"}


def test_no_good_one_is_refused_and_nothing_changes(folder):
    """One line, exit code 4; the next start is refused as well, and does not begin at zero."""
    spoil(folder / "1")
    spoil(folder / "2")
    for _ in range(2):
        events = []
        checkpoints = Checkpoints(folder, keep=5, on_event=events.append)
        assert checkpoints.latest == 2
        with pytest.raises(UnavailableError) as error:
            checkpoints.resume(state_of(0))
        checkpoints.close()
        assert error.value.exit_code == 4
        assert str(error.value).startswith(
            f"{folder}: none of 2 checkpoints can be resumed from (step 2: failed verification: "
        )
        assert str(error.value).endswith("--out; nothing was changed")
        assert names(folder) == {"1", "2"}
        assert events == []


def test_only_bad_ones_is_not_a_new_run(folder):
    """Whoever deletes the good ones by hand does not get a run from step 0 in their place."""
    for step in (1, 2):
        (folder / str(step)).rename(folder / f"{step}.bad")
    checkpoints = Checkpoints(folder, keep=5)
    message = r"only damaged checkpoints are left \(1.bad, 2.bad\): bring one back"
    with pytest.raises(UnavailableError, match=message):
        _ = checkpoints.latest
    with pytest.raises(UnavailableError, match=message):
        checkpoints.resume(state_of(0))


def test_readers_rename_nothing(folder):
    """Inference falls back as well, and leaves the folder to the run that writes."""
    spoil(folder / "2")
    events = []
    reader = Checkpoints(folder, write=False, on_event=events.append)
    assert int(reader.restore(state_of(0))[0].step) == 1
    assert events[0].endswith("has other values than were saved; using step 1")
    assert names(folder) == {"1", "2"}


def test_another_format_is_not_damage(folder, monkeypatch):
    """What a later version wrote is refused, neither set aside nor passed over."""
    with monkeypatch.context() as later:
        later.setattr(manifest, "FORMAT", 2)
        save_steps(folder, 3)
    checkpoints = Checkpoints(folder, keep=5)
    with pytest.raises(UnavailableError, match=r"/3: the checkpoint has format 2, and gmsdi_jax"):
        checkpoints.restore(state_of(0))
    assert names(folder) == {"1", "2", "3"}


def test_lack_of_memory_is_not_damage(folder, monkeypatch):
    """An error that no file can cause goes out as it is, and nothing is set aside."""

    def no_memory(target):
        raise MemoryError

    monkeypatch.setattr(ocp.checkpoint_utils, "construct_restore_args", no_memory)
    with pytest.raises(MemoryError):
        Checkpoints(folder, keep=5).restore(state_of(0))
    assert names(folder) == {"1", "2"}
