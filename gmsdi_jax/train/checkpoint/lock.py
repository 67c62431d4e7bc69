"""One writer per folder: a lock of the operating system, which a killed process lets go of."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from io import TextIOWrapper
from pathlib import Path

NAME = ".lock"


class Lock:
    """The lock of a folder, held from its construction until `release` or the process's end.

    Attributes:
        held: whether this object has it; else `holder` says who has, as far as is known.
        possible: False where the file system knows no locks; then `held` is True all the same.
    """

    def __init__(self, folder: Path, patience: float):
        """Tries for `patience` seconds: a job that was just killed may take some to be gone.

        Raises:
            OSError: the folder cannot be written to.
        """
        self._file: TextIOWrapper | None = None
        self._file = (folder / NAME).open("a+")
        self.possible, self.holder = True, ""
        end = time.monotonic() + patience
        while not (held := self._try()) and time.monotonic() < end:
            time.sleep(0.1)
        self.held = held
        if held:
            self._sign()
        else:
            self._file.seek(0)
            self.holder = self._file.read(200).strip()
            self.release()

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Lets the folder go; more than once is no error."""
        if self._file is not None:
            self._file.close()  # the lock goes with the open file
            self._file = None
        self.held = False

    def _try(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                self.possible = False
                return True
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def _sign(self) -> None:
        assert self._file is not None
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its text
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            self._file.flush()
