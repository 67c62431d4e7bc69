"""Checkpoints of a run that notice damage, survive kills and full disks, and never start over.

A folder ``OUT/checkpoints`` holds one folder per step, written by Orbax in the background::

    40/state      weights, optimizer, average, step: arrays in the parts in which they lie
    40/position   the position in the data, JSON
    40/about      step, seed, configuration, fingerprint of the data, version, score, time, JSON
    40/manifest   dtype, shape and digest of every array, sha256 of the JSON above and of itself

What a checkpoint promises, and what keeps the promise:

* *Complete or absent.* Orbax writes under another name and renames at the end; what a kill left
  behind is swept at the next start, before anything is saved (`folder`).
* *The state that was saved, or an error.* Digests are taken on the devices before writing and after
  reading (`gmsdi_jax.train.digest`); a checkpoint that does not match is set aside as ``40.bad``
  and the one before it is used. If none is good the run refuses to go on and changes nothing.
  Nothing is ever restored unverified, and no run starts over where one had begun.
* *Any devices.* State is restored to the shardings that are asked for, on any number of devices.
* *No lost save.* An error in the background surfaces at the next call, as one line.
* *One writer.* A second run in the same folder is refused (`lock`).

It needs a file system with atomic renames: local disks, NFS, Lustre, a mounted bucket that renames
folders. In a run of several processes all of them make the same calls with their part of the state;
process 0 decides, renames and deletes.
"""

from gmsdi_jax.train.checkpoint.manifest import About
from gmsdi_jax.train.checkpoint.run import Checkpoints

__all__ = ["About", "Checkpoints"]
