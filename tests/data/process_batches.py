"""Prints one line per row of this process's batches; run as a process of its own.

    python process_batches.py FOLDER WINDOW BATCH PROCESS PROCESSES FIRST LAST

A line is the number of the global batch, the row's number in it, and a digest of audio and labels.
"""

import hashlib
import sys

from gmsdi_jax.data import WindowConfig, open_split, training_batches

CONFIG = WindowConfig(gain_db=(-3, 3), polarity=True, mixing=0.3, sums=0.3)


def main() -> None:
    folder, numbers = sys.argv[1], map(int, sys.argv[2:])
    window, batch, process, processes, first, last = numbers
    batches = training_batches(
        open_split(folder), window, batch, 7, CONFIG, process_index=process, process_count=processes
    )
    if first:
        batches.set_state({"next_index": first})
    for number in range(first, last):
        some = next(batches)
        assert batches.get_state() == {"next_index": number + 1}
        for row in range(batch // processes):
            parts = (some.audio, some.interference, some.prompt.mask)
            digest = hashlib.sha256(b"".join(part[row].tobytes() for part in parts))
            print(number, process + row * processes, digest.hexdigest()[:16])


if __name__ == "__main__":
    main()
