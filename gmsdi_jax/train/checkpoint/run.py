"""The checkpoints of a run: save, restore, keep some; the package says what is promised."""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
from jaxtyping import PyTree

from gmsdi_jax.errors import ConfigError, OutputError
from gmsdi_jax.train.checkpoint import folder as disk
from gmsdi_jax.train.checkpoint.agreement import decided, in_short
from gmsdi_jax.train.checkpoint.lock import Lock
from gmsdi_jax.train.checkpoint.manifest import About, Json, make_manifest
from gmsdi_jax.train.checkpoint.retention import Retention
from gmsdi_jax.train.checkpoint.search import Search, sound_items
from gmsdi_jax.train.checkpoint.store import ABOUT, MANIFEST, POSITION, Store
from gmsdi_jax.types import TrainState

_SPACE = 1.2  # of the last checkpoint's size must be free before the next one is begun


def _filled(state: TrainState) -> dict[str, PyTree]:
    """The fields of a state that hold any array."""
    return {name: tree for name, tree in state._asdict().items() if jax.tree.leaves(tree)}


def _warn(line: str) -> None:
    logging.getLogger("gmsdi_jax.train").warning(line)


class Checkpoints:
    """The folder ``OUT/checkpoints``. All processes of a run make the same calls."""

    def __init__(
        self,
        folder: Path,
        keep: int = 2,
        *,
        period: int | None = None,
        best: int = 0,
        about: About | None = None,
        write: bool = True,
        patience: float = 5.0,
        on_event: Callable[[str], None] = _warn,
    ):
        """Opens or creates the folder, and sweeps up what a killed run left in it.

        Args:
            folder: of the checkpoints; nothing else should be in it.
            keep: newest checkpoints that stay; with 1 there is none to fall back on.
            period: multiples of this step stay for ever.
            best: so many with the highest scores stay as well.
            about: what each checkpoint says of the run.
            write: False only reads, beside a run that writes: nothing is locked, swept or renamed.
            patience: seconds to wait for another run, perhaps being killed, to let go.
            on_event: told one line when something was set aside or could not be deleted.

        Raises:
            ConfigError: another run writes here, or `keep`, `period` or `best` make no sense.
            OutputError: the folder cannot be written to.
        """
        self._folder, self._write = folder.absolute(), write
        self._retention = Retention(keep, period, best)
        self._run, self._say = about or About(), on_event
        self._store, self._lock = Store(), None
        self._decides = jax.process_index() == 0
        self._saving: tuple[int, float | None] | None = None
        self._mine: set[int] = set()  # steps that this run saved or began from
        self._scores: dict[int, float | None] = {}  # of all steps, in the process that decides
        self._size = 0  # bytes of the last checkpoint, as far as is known
        self._halves = False  # of failed saves may lie in the folder
        self._worker: ThreadPoolExecutor | None = None
        self._tidying: Future[list[str]] | None = None
        if write:
            decided(lambda: self._open(patience))

    @property
    def latest(self) -> int | None:
        """The newest complete step; None where a run has not saved yet.

        Raises:
            UnavailableError: there are only damaged ones: starting over would hide it.
        """
        found = disk.steps_in(self._folder)
        if not found:
            self._search().check_new()
        return found[-1] if found else None

    def about(self) -> Json | None:
        """What the newest checkpoint with readable JSON says of itself: `About` and more."""
        for step in reversed(disk.steps_in(self._folder)):
            if items := sound_items(self._store, self._folder / str(step)):
                return items[ABOUT]
        return None

    def save(
        self, step: int, state: TrainState, position: Json, *, score: float | None = None
    ) -> None:
        """Begins to write `step` once the one before is complete; the state may be donated at once.

        A step that this run saved already is not saved again.

        Args:
            step: of the state.
            state: arrays in any sharding.
            position: in the data, as plain JSON values.
            score: higher is better, for `best`.

        Raises:
            OutputError: the last save failed, this one did, or the disk has too little room for it.
            ConfigError: another run's checkpoint of this step is here.
        """
        self.wait()
        if decided(lambda: self._may_save(step, state)):
            return
        items = {POSITION: position, ABOUT: self._run.item(step, score)}
        items = {name: json.loads(json.dumps(item)) for name, item in items.items()}
        arrays = _filled(state)
        items[MANIFEST] = make_manifest(arrays, items)
        try:
            self._store.write(self._folder / str(step), arrays, items)
        except Exception as error:
            raise self._lost(step, error) from error
        self._saving = step, score

    def check(self) -> None:
        """Costs nothing; call it after every step.

        Raises:
            OutputError: the save in the background failed.
        """
        if self._saving is None:
            return
        step, _ = self._saving
        try:
            self._store.errors()
        except Exception as error:
            raise self._lost(step, error) from error
        if self._decides and (self._folder / str(step)).exists():
            self._saved()

    def wait(self) -> None:
        """Returns when the last save is complete and older checkpoints are deleted.

        Raises:
            OutputError: it failed.
        """
        step, _ = self._saving or (0, None)
        try:
            self._store.wait()
        except Exception as error:
            raise self._lost(step, error) from error
        if self._saving is not None:
            self._saved()
        if self._tidying is not None:
            lines, self._tidying = self._tidying.result(), None
            for line in lines:
                self._say(line)

    def close(self) -> None:
        """Waits as `wait` does, then lets go of the folder; reading is still possible.

        Raises:
            OutputError: the last save failed.
        """
        try:
            self.wait()
        finally:
            self._sweep()
            self._write = False
            self._store.close()
            if self._worker is not None:
                self._worker.shutdown()
                self._worker = None
            if self._lock is not None:
                self._lock.release()

    def restore(self, like: TrainState, *, at_most: int | None = None) -> tuple[TrainState, Json]:
        """As `resume`, where there must be a checkpoint.

        Raises:
            ConfigError: there is none.
        """
        found = self.resume(like, at_most=at_most)
        if found is None:
            raise ConfigError(f"{self._folder}: no checkpoint to resume from")
        return found

    def resume(
        self, like: TrainState, *, at_most: int | None = None
    ) -> tuple[TrainState, Json] | None:
        """The newest good state, and its position in the data; None where nothing was ever saved.

        A checkpoint that fails verification twice is set aside as ``STEP.bad`` once an older one
        was found good, and `on_event` is told.

        Args:
            like: arrays, or `jax.ShapeDtypeStruct` with shardings; says where arrays shall lie.
            at_most: go back to this step or before it; what is newer is set aside as well.

        Raises:
            ConfigError: the checkpoint is of another model; names the first arrays that differ.
            UnavailableError: there are checkpoints and none is good, or another version wrote them;
                nothing was changed.
            OutputError: what is damaged cannot be renamed, or the save in the background failed.
        """
        self.wait()
        search = self._search()
        found = search.newest(_filled(like), at_most=at_most)
        if found is None:
            return None
        if self._write:
            decided(lambda: self._set_aside(search))
        else:
            search.report(self._say)
        self._mine.add(found.step)
        return like._replace(**found.state), found.position

    def restore_ema(self, shapes: PyTree) -> PyTree:
        """The averaged weights alone, verified: no memory is needed for the rest of the state.

        Args:
            shapes: of the field `ema` of a state, as `like` of `resume`.

        Raises:
            ConfigError: there is no checkpoint, or it is of another model.
            UnavailableError: there are checkpoints and none is good.
        """
        self.wait()
        search = self._search()
        found = search.newest({"ema": shapes}, part=True)
        if found is None:
            raise ConfigError(f"{self._folder}: no checkpoint to take weights from")
        search.report(self._say)
        return found.state["ema"]

    def _search(self) -> Search:
        return Search(self._store, self._folder)

    def _open(self, patience: float) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._folder, patience)
        except OSError as error:
            raise OutputError(
                f"{self._folder}: cannot write checkpoints ({in_short(error)})"
            ) from error
        if not self._lock.held:
            raise ConfigError(
                f"{self._folder}: another run writes here ({self._lock.holder}): "
                "stop it, or name another --out"
            )
        if not self._lock.possible:
            self._say(f"{self._folder}: this file system has no locks: start no second run here")
        for name in disk.sweep(self._folder):
            self._say(f"{self._folder / name}: left over by a killed run, and cannot be deleted")
        self._scores = {step: self._score(step) for step in disk.steps_in(self._folder)}

    def _score(self, step: int) -> float | None:
        if not self._retention.best:
            return None
        items = sound_items(self._store, self._folder / str(step))
        return items[ABOUT]["score"] if items else None

    def _may_save(self, step: int, state: TrainState) -> int:
        """1 where there is nothing to save; raises where it must not be tried."""
        path = self._folder / str(step)
        if not self._write:
            raise OutputError(f"{path}: these checkpoints are closed, or open for reading only")
        if path.exists():
            if step in self._mine:
                return 1
            raise ConfigError(
                f"{path}: there is a checkpoint of another run: resume it, or name another --out"
            )
        self._sweep()
        last = self._size or self._size_of_newest()
        needed = _SPACE * (last or sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise self._lost(step, error) from error
        if free < needed:
            raise OutputError(
                f"{path}: not saved, {needed / 2**30:.2f} GiB are needed and {free / 2**30:.2f} "
                "GiB free: make room or lower keep, then resume"
            )
        return 0

    def _size_of_newest(self) -> int:
        return disk.size_of(self._folder / str(max(self._scores))) if self._scores else 0

    def _saved(self) -> None:
        """The last save is complete: it counts, and older ones may go."""
        assert self._saving is not None
        (step, score), self._saving = self._saving, None
        self._mine.add(step)
        if self._decides:
            if not (self._folder / str(step)).exists():
                raise self._lost(step, FileNotFoundError("it is gone"))
            self._scores[step] = score
            going = sorted(self._scores.keys() - self._retention.kept(self._scores))
            self._scores = {step: s for step, s in self._scores.items() if step not in going}
            self._worker = self._worker or ThreadPoolExecutor(1, "gmsdi-checkpoints")
            self._tidying = self._worker.submit(self._tidy, step, going)

    def _tidy(self, step: int, going: list[int]) -> list[str]:
        """Deletes steps, in the background; returns what to say."""
        self._size = disk.size_of(self._folder / str(step))
        lines = []
        for old in going:
            try:
                disk.delete(self._folder, old)
            except OSError as error:
                lines.append(f"{self._folder / str(old)}: cannot be deleted ({in_short(error)})")
        return lines

    def _lost(self, step: int, error: Exception) -> OutputError:
        self._saving, self._halves = None, True
        self._store.drop()
        self._sweep()
        return OutputError(
            f"{self._folder / str(step)}: not saved ({in_short(error)}): the checkpoints before it "
            "are whole; mend this and resume"
        )

    def _sweep(self) -> None:
        """Deletes the half of a failed save; threads of Orbax may be writing to it for a while."""
        if self._halves and self._decides and self._write:
            self._halves = bool(disk.sweep(self._folder))

    def _set_aside(self, search: Search) -> None:
        """Renames what a search passed over."""
        for step in search.passed:
            try:
                search.names[step] = disk.set_aside(self._folder, step)
            except OSError as error:
                raise OutputError(
                    f"{self._folder / str(step)}: cannot be set aside ({in_short(error)})"
                ) from error
            self._scores.pop(step, None)
        self._size = 0
        search.report(self._say)
