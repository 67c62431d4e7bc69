"""Slakh2100, BabySlakh and MTG-Jamendo to a folder: resumable, verified, unpacked with care.

=============  =====================================================================
`catalogue`    what there is: addresses, checksums, sizes
`jamendo`      the same for MTG-Jamendo's hundred tars and its lists
`dataset`      all files of a data set, to the end
`transfer`     one file over HTTP, through broken connections (`answer`: one request)
`checksums`    md5, sha256, git's names of contents
`unpack`       tars to folders (`stream`: its bytes, bounded; `members`: what may come out)
`ledger`       what was verified and unpacked, so that nothing is done twice
=============  =====================================================================

Only the standard library is needed. No data, list or label of the data sets is part of this
library; only checksums are.
"""

from data_pipelines.download.catalogue import BABYSLAKH, SLAKH, Archive, RemoteFile
from data_pipelines.download.checksums import Checksum
from data_pipelines.download.dataset import Told, Wishes, fetch
from data_pipelines.download.transfer import ConnectionLostError, Patience
from data_pipelines.download.unpack import Limits

__all__ = [
    "BABYSLAKH",
    "SLAKH",
    "Archive",
    "Checksum",
    "ConnectionLostError",
    "Limits",
    "Patience",
    "RemoteFile",
    "Told",
    "Wishes",
    "fetch",
]
