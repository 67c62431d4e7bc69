"""From the newest checkpoint back to the newest good one."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.train.checkpoint import folder as disk
from gmsdi_jax.train.checkpoint.agreement import DamageError, in_short, together, told
from gmsdi_jax.train.checkpoint.manifest import (
    Json,
    check_complete,
    check_items,
    check_state,
    mismatches,
)
from gmsdi_jax.train.checkpoint.store import MANIFEST, POSITION, Store

_NAMED = 5  # arrays that differ, in a message
_TRIES = 2  # one failed read of a network file system is no damage


class Found(NamedTuple):
    """A checkpoint that passed."""

    step: int
    state: dict[str, Any]
    position: Json


class Search:
    """One search; all processes make it together and find the same step.

    Attributes:
        passed: steps that are newer than the one that was found, with the reasons.
        names: what was set aside as what.
    """

    def __init__(self, store: Store, folder: Path):
        """Reads nothing yet."""
        self._store, self._folder = store, folder
        self._found: int | None = None
        self.passed: dict[int, str] = {}
        self.names: dict[int, str] = {}

    def newest(
        self, like: dict[str, Any], *, at_most: int | None = None, part: bool = False
    ) -> Found | None:
        """The newest good checkpoint, or None where nothing was ever saved.

        Args:
            like: arrays or shapes by the names of the state's fields.
            at_most: newer steps are passed over unread.
            part: `like` holds some fields only.

        Raises:
            ConfigError: the checkpoint is of another model.
            UnavailableError: there are checkpoints and none is good.
        """
        steps = self._steps()
        for step in steps:
            if at_most is not None and step > at_most:
                self.passed[step] = f"it is newer than step {at_most}, which was asked for"
                continue
            try:
                found = self._verified(step, like, part)
            except DamageError as error:
                self.passed[step] = f"failed verification: {error}"
                continue
            self._found = step
            return found
        if steps:
            raise UnavailableError(self._none_good(steps, at_most))
        self.check_new()
        return None

    def check_new(self) -> None:
        """Whether it is true that nothing was ever saved here.

        Raises:
            UnavailableError: something was, and was set aside.
        """
        bad = disk.bad_in(self._folder)
        if bad:
            raise UnavailableError(
                f"{self._folder}: only damaged checkpoints are left ({', '.join(bad[:3])}): bring "
                "one back from a copy, or begin anew with another --out"
            )

    def report(self, say: Callable[[str], None]) -> None:
        """One line for each step that was passed over."""
        if jax.process_index():
            return
        for step, reason in sorted(self.passed.items()):
            where = f", set aside as {self.names[step]}" if step in self.names else ""
            say(f"{self._folder / str(step)}: {reason}{where}; using step {self._found}")

    def _steps(self) -> list[int]:
        """The steps as process 0 sees them, the newest first: others may see an older listing."""
        steps = disk.steps_in(self._folder)[::-1] if jax.process_index() == 0 else []
        (count,) = told(len(steps))
        return told(*(steps or [0] * count)) if count else []

    def _verified(self, step: int, like: dict[str, Any], part: bool) -> Found:
        for _ in range(_TRIES - 1):
            try:
                return self._read(step, like, part)
            except DamageError:
                continue
        return self._read(step, like, part)

    def _read(self, step: int, like: dict[str, Any], part: bool) -> Found:
        path = self._folder / str(step)

        def read() -> tuple[dict[str, Any], dict[str, Any]]:
            with _unreadable("its JSON"):
                items = self._store.read_items(path)
            check_items(items, path)
            if differ := mismatches(items[MANIFEST], like, part):
                more = f" and {len(differ) - _NAMED} more" if len(differ) > _NAMED else ""
                first = "; ".join(differ[:_NAMED])
                raise ConfigError(f"{path}: the checkpoint is of another model: {first}{more}")
            with _unreadable("its arrays"):
                state = self._store.read_state(path, like)
            check_complete(items[MANIFEST], state, part)
            return items, state

        items, state = together(read)
        check_state(items[MANIFEST], state)
        return Found(step, state, items[POSITION])

    def _none_good(self, steps: list[int], at_most: int | None) -> str:
        tried = [step for step in steps if at_most is None or step <= at_most] or steps
        return (
            f"{self._folder}: none of {len(steps)} checkpoints can be resumed from (step "
            f"{tried[0]}: {self.passed[tried[0]]}): bring one back from a copy, or begin anew with "
            "another --out; nothing was changed"
        )


@contextlib.contextmanager
def _unreadable(what: str) -> Iterator[None]:
    """Says what an error of Orbax is about."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        raise DamageError(f"{what} cannot be read ({in_short(error)})") from error


def sound_items(store: Store, path: Path) -> dict[str, Any] | None:
    """The JSON items of a step if they are what was saved; reads in this process alone."""
    try:
        items = store.read_items(path)
        check_items(items, path)
    except Exception:
        return None
    return items
