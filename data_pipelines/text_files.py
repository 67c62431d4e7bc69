"""Files from elsewhere, opened with care: tables, metadata and archives of other people's making.

A named pipe waits for ever to be written to, and a device has no end: neither is opened. Text is
read whole, but never more of it than such a file can have.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from gmsdi_jax.errors import InputError


def open_regular(path: Path) -> BinaryIO:
    """A regular file, open for reading.

    Raises:
        OSError: it is none, or cannot be opened; ``strerror`` says why.
    """
    # The file that is looked at is the one that is read, whatever is done to the name meanwhile.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    return os.fdopen(number, "rb")


def read_text(path: Path, most: int) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: it is not there.
        InputError: it cannot be read, is larger, or is no text.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the name") from error
    if len(data) > most:
        message = f"{path} has more than {most} bytes, too many for what it should be"
        raise InputError(f"{message}: copy or download it again")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: copy or download it again") from error
