"""How well a model separates: on fixed windows while it trains, on whole songs when it is done.

Beside every method stand three rows that need no network, for without them a number means little:
``silence`` (what the metric pays for nothing), ``mixture`` and ``static`` (a Wiener filter with one
spectrum per class, estimated from mixtures alone); and the ``oracle`` filter, which knows the
stems. Both protocols of `gmsdi_jax.metrics.protocols` are always computed.

    songs      songs whose stems are known: of a prepared split
    folders    the same, of folders of files, with what other tools separated
    scorer     the loop: songs x methods x seeds, each computed once
    judge      the estimates of one song to scores, and to audio that is kept
    store      results on disk as they come, so that a killed evaluation goes on
    result     the scorecard, the tables and evaluation.json
    models     `evaluate` and `evaluate_split`: a model on songs
    validation the score of a model under training
"""

from gmsdi_jax.evaluate.folders import FolderSongs, evaluate_folders
from gmsdi_jax.evaluate.models import evaluate, evaluate_split
from gmsdi_jax.evaluate.result import BASELINES, Evaluation
from gmsdi_jax.evaluate.songs import STATIC, Song, check_same, fit_static, songs_of
from gmsdi_jax.evaluate.validation import Validator

__all__ = [
    "BASELINES",
    "STATIC",
    "Evaluation",
    "FolderSongs",
    "Song",
    "Validator",
    "check_same",
    "evaluate",
    "evaluate_folders",
    "evaluate_split",
    "fit_static",
    "songs_of",
]
