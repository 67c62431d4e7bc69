"""Compiled steps kept between starts, so that a run that comes back is soon at work.

jax has the cache; what is added is where it lies by default, one line that says whether it helped,
and care for three traps:

- jax puts away an entry that cannot be read and compiles instead, but never replaces it: one that a
  kill cut short would be read in vain for ever. It is deleted here, and the next start is warm.
- An entry for the CPU holds instructions of the CPU that it was compiled on, and jax's key is not
  known to tell CPUs apart: a folder shared by unlike machines may crash. Each kind of CPU therefore
  has a folder of its own.
- A folder that cannot be written is no reason not to train.

Only process 0 writes entries (jax's rule): to be warm on every host of a pod, the folder must be on
a disk that all of them share. Entries are code: keep the folder as closed as your programs.
"""

import hashlib
import os
import platform
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax import monitoring

ENVIRONMENT = "JAX_COMPILATION_CACHE_DIR"


def default_folder() -> Path:
    """``gmsdi-jax/compiled`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gmsdi-jax" / "compiled"


def keep_compiled(folder: Path | None, say: Callable[[str], None]) -> None:
    """Turns the cache on; to be called before anything is compiled.

    Args:
        folder: where entries lie; by default what JAX_COMPILATION_CACHE_DIR says, or else
            `default_folder`.
        say: told one line where the folder cannot be used; the run goes on without.
    """
    if folder is None and os.environ.get(ENVIRONMENT):
        return  # jax has read it
    try:
        folder = folder or default_folder()
        if jax.default_backend() == "cpu":
            folder = folder / cpu_kind()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError) as error:
        say(f"compiled steps are not kept ({error}): name another --compile-cache")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def cpu_kind() -> str:
    """A name for this kind of CPU: its architecture and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return f"cpu-{hashlib.sha256((platform.machine() + features).encode()).hexdigest()[:12]}"


class Compilation:
    """What happened while something was compiled for the first time.

    Args:
        say: told one line in the end.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._events: Counter[str] = Counter()
        self._saved, self._unwritten = 0.0, False

    @contextmanager
    def watch(self, what: str) -> Iterator[None]:
        """Counts hits and misses inside, and tells them with the seconds that it took."""
        began = time.monotonic()
        monitoring.register_event_listener(self._heard)
        monitoring.register_event_duration_secs_listener(self._took)  # type: ignore[arg-type]
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            monitoring.unregister_event_listener(self._heard)
            monitoring.unregister_event_duration_listener(self._took)  # type: ignore[arg-type]
        damaged = [w for w in caught if "compilation cache" in str(w.message)]
        for other in caught:
            if other not in damaged:
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        self._unwritten = any("writing" in str(w.message) for w in damaged)
        if self._events["compile_requests_use_cache"] or not _folder():
            self._say(self._line(what, time.monotonic() - began))
        if damaged:
            self._mend()

    def _heard(self, event: str, **more: str | int) -> None:
        if event.startswith("/jax/compilation_cache/"):
            self._events[event.rpartition("/")[2]] += 1

    def _took(self, event: str, duration: float, **more: str | int) -> None:
        if event == "/jax/compilation_cache/compile_time_saved_sec":
            self._saved += duration

    def _line(self, what: str, seconds: float) -> str:
        folder, events = _folder(), self._events
        asked, hits = events["compile_requests_use_cache"], events["cache_hits"]
        line = f"{what} after {seconds:.1f} s of compiling"
        if not folder:
            return f"{line}, which is not kept"
        if hits == asked:
            saved = f", {self._saved:.0f} s saved" if self._saved >= 1 else ""
            return f"{what} after {seconds:.1f} s: compiled before (warm: cache hit{saved})"
        why = f"kept for the next start in {folder}" if events["cache_misses"] else "not kept"
        if self._unwritten:
            why = f"{folder} cannot be written"
        return f"{line} (cold: cache miss, {why})"

    def _mend(self) -> None:
        """Deletes the entries that cannot be read, for jax never writes over one."""
        bad = [path for path in Path(_folder() or ".").glob("*-cache")
               if not _whole(path)]  # fmt: skip
        for path in bad:
            try:
                path.unlink()
            except OSError:
                return
        if bad:
            self._say(f"{len(bad)} damaged compile cache entries are deleted: the next start "
                      "compiles once more")  # fmt: skip


def _folder() -> str | None:
    return jax.config.values["jax_compilation_cache_dir"]


def _whole(path: Path) -> bool:
    try:
        data = path.read_bytes()
        if data[:4] != b"\x28\xb5\x2f\xfd":  # zstandard's mark; jax uses zlib where it is not there
            zlib.decompress(data)
    except (OSError, zlib.error):
        return False
    return True
