"""States of many dtypes that follow from a number, for the tests of checkpoints."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gmsdi_jax.train.checkpoint import Checkpoints
from gmsdi_jax.types import TrainState


def state_of(seed: int) -> TrainState:
    """Step `seed`: floats of two widths, integers, booleans and a typed key; no two are alike."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((24, 48)).astype(np.float32)
    params = {
        "blocks": {
            0: {"kernel": jnp.asarray(weight)},
            1: {"half": jnp.asarray(weight, "bfloat16")},
        },
        "table": jnp.asarray(rng.integers(-100, 100, 24), jnp.int16),
        "known": jnp.asarray(rng.random(7) < 0.5),
        "key": jax.random.key(seed),
    }
    moved = {"kernel": jnp.asarray(rng.standard_normal((24, 48)), jnp.float32)}
    opt_state = optax.adam(0.1).init(moved)
    opt_state = jax.tree.map(lambda leaf: leaf + leaf.dtype.type(seed + 1), opt_state)
    return TrainState(jnp.asarray(seed, jnp.int32), params, opt_state, moved)


def bits(tree: Any) -> list[bytes]:
    """The bytes of every leaf, to compare NaNs, zeros and keys as well."""

    def raw(leaf: Any) -> bytes:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf).tobytes()

    return [raw(leaf) for leaf in jax.tree.leaves(tree)]


def spread(state: TrainState, devices: int) -> TrainState:
    """The state on a mesh of the first devices, sharded where a first axis divides by them."""
    mesh = Mesh(np.asarray(jax.devices()[:devices]), ("all",))

    def place(leaf: Any) -> Any:
        sharded = leaf.ndim > 0 and leaf.shape[0] % devices == 0
        sharding = NamedSharding(mesh, PartitionSpec("all") if sharded else PartitionSpec())
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            words = np.asarray(jax.random.key_data(leaf))
            return jax.jit(jax.random.wrap_key_data, out_shardings=sharding)(words)
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, sharding, lambda part: values[part])

    return jax.tree.map(place, state)


def save_steps(folder: Path, *steps: int, **options: Any) -> None:
    """Saves `state_of` these steps, each complete before the next, and lets go of the folder."""
    checkpoints = Checkpoints(folder, **{"keep": 5, **options})
    for step in steps:
        checkpoints.save(step, state_of(step), {"n": step})
        checkpoints.wait()
    checkpoints.close()


def spoil(step: Path) -> None:
    """Flips a bit in the largest file of a step: in random floats, which Orbax does not notice."""
    file = max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def names(folder: Path) -> set[str]:
    """The folders in a folder."""
    return {path.name for path in folder.iterdir() if path.is_dir()}
