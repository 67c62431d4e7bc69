"""How near generated music is to real music: distances of folders of audio.

`clips` finds what is to be heard in a folder and cuts it, `listeners` are the encoders that hear it
(and a meter of silence and loudness), `store` keeps on disk what they heard, `compare` makes
numbers of it, and `table` shows them.
"""

from gmsdi_jax.generation.clips import Clip, Cut, find_clips
from gmsdi_jax.generation.compare import Comparison, Request, compare
from gmsdi_jax.generation.listeners import VARIANTS, Listener, Variant, open_listeners
from gmsdi_jax.generation.store import Store, listen
from gmsdi_jax.generation.table import markdown

__all__ = [
    "VARIANTS",
    "Clip",
    "Comparison",
    "Cut",
    "Listener",
    "Request",
    "Store",
    "Variant",
    "compare",
    "find_clips",
    "listen",
    "markdown",
    "open_listeners",
]
