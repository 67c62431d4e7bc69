"""Training batches: random windows of mixtures, labelled by who plays in them.

Grain shuffles the records of a split for ever. A random map then makes one example of each record
(`gmsdi_jax.data.windows`), and examples are gathered to batches.

The order of the pipeline matters. The random map stands *before* the slice that gives each process
its rows, so the global batch does not depend on the number of processes; after the slice, all
processes would draw the same random numbers. Each example draws all its randomness from the
generator that Grain derives from the seed and the example's number: a batch is reproducible bit for
bit and does not depend on threads. Reading is done by threads of this process, a bounded number of
batches ahead: audio needs no decoding, so processes would only copy it once more.

The state of the iterator is the plain dict ``{"next_index": n}``: ``get_state()`` gives it,
``set_state(...)`` on an iterator made with the same arguments goes on with batch ``n``. It counts
global batches and is therefore the same number on every process, whatever their number.
"""

import os
from collections.abc import Callable

import grain

from gmsdi_jax.data.shards import Split
from gmsdi_jax.data.windows import RandomWindows, WindowConfig
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.types import Batch

# Reading mostly waits for memory and disk: more threads than cores do not help, many batches ahead
# only fill the memory.
_READ = grain.ReadOptions(num_threads=min(16, os.cpu_count() or 1), prefetch_buffer_size=4)


def training_batches(
    split: Split,
    window: int,
    batch: int,
    seed: int,
    config: WindowConfig = WindowConfig(),
    *,
    process_index: int = 0,
    process_count: int = 1,
    on_damage: Callable[[str], None] = lambda message: None,
) -> grain.DatasetIterator[Batch]:
    """An endless iterator over batches of labelled windows.

    Args:
        split: The data to draw from.
        window: Samples per window, a multiple of the data set's hop.
        batch: Windows of the *global* batch; this process gets ``batch // process_count`` of them,
            its row ``r`` being row ``process_index + r * process_count`` of the global batch.
        seed: Of all randomness.
        config: The recipe.
        process_index: Which process this is.
        process_count: How many share the global batch.
        on_damage: Told of every damaged record that was replaced (`WindowConfig.max_bad`).

    Returns:
        An iterator over `Batch` of float32 numpy arrays [b t 1] (full scale = 1) with tokens
        [b s], one per label; see the module for its state.

    Raises:
        ConfigError: Numbers that do not fit each other or the data.
        InputError: No track is as long as the window; later, more records are damaged than allowed.
    """
    if batch < 1 or process_count < 1 or batch % process_count:
        raise ConfigError(f"batch {batch} does not divide among {process_count} processes")
    if not 0 <= process_index < process_count:
        raise ConfigError(f"process_index {process_index} is not below {process_count}")
    windows = RandomWindows(split, window, config, on_damage)
    dataset = grain.MapDataset.range(len(windows.records)).seed(seed).shuffle().repeat()
    dataset = dataset.random_map(windows)
    dataset = dataset[process_index::process_count]
    dataset = dataset.batch(batch // process_count, drop_remainder=True)
    return iter(dataset.to_iter_dataset(_READ))
