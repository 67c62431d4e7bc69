"""Songs in, stems out: files, sample rates and windows, all in numpy and all as streams.

A song may last hours, so nothing here needs the whole of it. A separation is a chain of small
parts, each of which holds about one window:

    Reader -> StreamResampler -> windows -> (the model) -> OverlapAdd -> StreamResampler -> Writer

A second `Reader` on the same file, read in lockstep with `take(n)`, gives the input again for the
residual (the input less the sum of the stems). A `Writer` opens its file before anything is
computed and puts it in place only when it is complete.

Audio is float32 with time first, [t c], and full scale = 1. Failures are `InputError` and
`OutputError` with one line that names the file and what to do.
"""

from gmsdi_jax.audio.decoder import AudioInfo, AudioSource
from gmsdi_jax.audio.files import Reader, probe, read, read_blocks
from gmsdi_jax.audio.resample import StreamResampler, resample
from gmsdi_jax.audio.windows import OverlapAdd, WindowPlan, WindowStream, plan, windows
from gmsdi_jax.audio.writer import Writer, write

__all__ = [
    "AudioInfo",
    "AudioSource",
    "OverlapAdd",
    "Reader",
    "StreamResampler",
    "WindowPlan",
    "WindowStream",
    "Writer",
    "plan",
    "probe",
    "read",
    "read_blocks",
    "resample",
    "windows",
    "write",
]
