"""Saves and restores on some number of devices or processes; run by the tests of checkpoints.

    checkpoint_devices.py FOLDER within                 on 8 devices: between meshes
    checkpoint_devices.py FOLDER save DEVICES
    checkpoint_devices.py FOLDER restore DEVICES
    checkpoint_devices.py FOLDER pair PROCESS PORT      one of two processes of two devices each

Whatever is not as it should be is an assertion.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
folder, mode, *numbers = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
devices = {"within": 8, "pair": 2}.get(mode) or numbers[0]
os.environ["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={devices}"
os.environ["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"

import jax  # noqa: E402
from jax.experimental import multihost_utils  # noqa: E402
from train.checkpoint_states import bits, names, spoil, spread, state_of  # noqa: E402

from gmsdi_jax.train.checkpoint import Checkpoints  # noqa: E402
from gmsdi_jax.train.digest import digests  # noqa: E402


def restores(count: int, step: int, on: int) -> None:
    """The newest state is that of `step`, bit for bit, on a mesh of other devices."""
    like = spread(state_of(0), on)
    state, position = Checkpoints(folder, write=False).restore(like)
    assert bits(state) == bits(state_of(step)), (count, on)
    assert position == {"n": step}
    same = jax.tree.map(lambda a, b: a.sharding == b.sharding, state, like)
    assert all(jax.tree.leaves(same)), (count, on)


def within() -> None:
    """Between meshes: 8 to 1 and 2 devices, 1 to 8, 4 to 3."""
    assert len({str(digests(spread(state_of(5), on))) for on in (1, 3, 4, 8)}) == 1
    checkpoints = Checkpoints(folder, keep=9)
    for step, count, others in ((0, 8, (1, 2)), (1, 1, (8,)), (2, 4, (3,))):
        checkpoints.save(step, spread(state_of(step), count), {"n": step})
        checkpoints.wait()
        for on in others:
            restores(count, step, on)
    checkpoints.close()


def pair(process: int, port: int) -> None:
    """Two processes save together, and agree on the step when only one of them sees damage."""
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
    events = []
    checkpoints = Checkpoints(folder, 5, on_event=events.append)
    for step in (1, 2, 3):
        checkpoints.save(step, spread(state_of(step), 4), {"n": step})
        checkpoints.check()
    checkpoints.close()
    assert digests(spread(state_of(1), 4)) == digests(state_of(1))
    if process == 0:
        written = folder / "3" / "state" / "ocdbt.process_1"
        shard = max((written / "d").iterdir(), key=lambda path: path.stat().st_size)
        shard.write_bytes(shard.read_bytes()[:100])  # which process 0 need not read
        spoil(folder / "2")
    multihost_utils.sync_global_devices("damaged")
    checkpoints = Checkpoints(folder, 5, on_event=events.append)
    state, position = checkpoints.restore(spread(state_of(0), 4))
    assert position == {"n": 1}
    assert digests(state) == digests(state_of(1))
    assert names(folder) == {"1", "2.bad", "3.bad"}
    assert len(events) == (2 if process == 0 else 0), events
    checkpoints.save(2, spread(state_of(2), 4), {"n": 2})
    checkpoints.close()
    assert checkpoints.latest == 2


if mode == "within":
    within()
elif mode == "save":
    saving = Checkpoints(folder, keep=9)
    saving.save(devices, spread(state_of(devices), devices), {"n": devices})
    saving.close()
elif mode == "restore":
    restores(devices, max(int(name) for name in names(folder) if name.isdigit()), devices)
else:
    pair(*numbers)
