"""Every failure that a user can cause or cure, one class per exit code.

The message of each is one line that names the file or key and says what to do. The command line
prints it on stderr and exits with `exit_code`; `--debug` shows the trace as well.
"""


class GMSDIError(Exception):
    """The base of all errors of this library; exit code 1 where nothing better is known."""

    exit_code = 1


class ConfigError(GMSDIError):
    """A flag, a configuration key or a label is wrong: exit code 2."""

    exit_code = 2


class InputError(GMSDIError):
    """An input file cannot be used: exit code 3, after all other inputs were processed."""

    exit_code = 3


class UnavailableError(GMSDIError):
    """A model, a data set or a program is not on this machine: exit code 4."""

    exit_code = 4


class NumericsError(GMSDIError):
    """A computation produced NaN or infinity: exit code 70."""

    exit_code = 70


class PreemptedError(GMSDIError):
    """A run was told to stop, and saved: exit code 85; the same command with resume goes on."""

    exit_code = 85


class OutputError(GMSDIError):
    """A result could not be written: exit code 74."""

    exit_code = 74
