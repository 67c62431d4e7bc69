"""Everything that tells how a run goes, and nothing that changes it.

What is measured goes three ways. ``metrics.jsonl`` holds the curve: the same bits for every run of
a configuration, however often it was stopped. ``hosts.jsonl`` holds what differs from run to run:
seconds and bytes, per process. ``goodput.jsonl`` says where the wall time went, over all starts.
Weights & Biases and TensorBoard get the first two, and the sound of the validation windows.

None of it may end or hang a run that has begun: what fails says one line, and is left out.
"""

from gmsdi_jax.train.observe.account import account
from gmsdi_jax.train.observe.compile_cache import keep_compiled
from gmsdi_jax.train.observe.ledger import process_began
from gmsdi_jax.train.observe.lines import JsonLines, Writer, best_score, read_lines
from gmsdi_jax.train.observe.observer import Observer
from gmsdi_jax.train.observe.profile import parse_steps
from gmsdi_jax.train.observe.samples import Sample

__all__ = [
    "JsonLines",
    "Observer",
    "Sample",
    "Writer",
    "account",
    "best_score",
    "keep_compiled",
    "parse_steps",
    "process_began",
    "read_lines",
]
