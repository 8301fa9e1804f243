"""Keeps a destination equal to a folder that a job's program writes to while it runs: checkpoints, TensorBoard's files.

Changes and deletions go out, nothing comes in but by `restore`. A file goes out once it has been left alone for a
moment, and whole: one that changes while it is copied waits for the next round.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from trainjob.contract import UPLOADED_SUFFIX, UPLOADING_SUFFIX

from local_mode.errors import ArtifactError, LocalModeError
from local_mode.instance import beneath
from local_mode.instance.beneath import Stamp
from local_mode.instance.checkpoints import CheckpointStore, is_synced

PERIOD_SECONDS = 1.0
"""Between two rounds."""
SETTLE_SECONDS = 0.5
"""For which a file must be as it is before it is copied."""
_LAST_ROUND_SECONDS = 900
"""For the round that goes on when the program has ended: one upload, its time-outs included."""


class CheckpointSync:
    """One folder, one destination. `close` must follow `start`; `finish` is the round after the program's end."""

    def __init__(
        self,
        folder: Path,
        store: CheckpointStore,
        *,
        aside: Path,
        note: Callable[[str], None],
        settle: float = SETTLE_SECONDS,
        what: str = "checkpoint",
        marks: bool = True,
    ) -> None:
        """`aside` is a file to be: room for the copy of one file. `note` is told of what goes wrong with a `what`.

        `marks` are the platform's, made beside each file as it goes out.
        """
        self._folder, self._store, self._aside = folder, store, aside
        self._note, self._settle = note, settle
        self._what, self._marks = what, marks
        self._failure = f"{what[0].upper()}{what[1:]} upload failed"
        self._known: dict[str, Stamp] = {}
        """What the destination has of ours, as it was in the folder."""
        self._open_up: Callable[[], None] = lambda: None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._said = ""
        self._left_out: set[str] = set()

    def restore(self) -> None:
        """Copy what is at the destination to the folder, which is made.

        Raises:
            LocalModeError: something cannot be copied.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store.bring(self._folder)
        self._known = self._scan()

    def start(self, open_up: Callable[[], None]) -> None:
        """Sync until `finish` or `close`; `open_up` is called when this user may not read what the program wrote."""
        self._open_up = open_up
        self._thread = threading.Thread(target=self._work, daemon=True, name="checkpoints")
        self._thread.start()

    def finish(self) -> None:
        """Sync once more, now that the program has ended.

        Raises:
            ArtifactError: something of it could not be brought to the destination, or removed there.
        """
        self.close()
        if self._thread is not None and self._thread.is_alive():
            raise ArtifactError(f"{self._failure}: an upload takes more than {_LAST_ROUND_SECONDS} s.")
        if problems := self._round(settle=0):
            raise ArtifactError(f"{self._failure}: {problems[0]}")

    def close(self) -> None:
        """End the rounds; waits for the one that goes on."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_LAST_ROUND_SECONDS)

    def _work(self) -> None:
        pause = PERIOD_SECONDS
        while not self._ended.wait(pause):
            begun = time.monotonic()
            self._tell("; ".join(self._round(settle=self._settle)[:1]))
            # A folder of very many files is not to keep a core busy.
            pause = max(PERIOD_SECONDS, time.monotonic() - begun - self._settle)

    def _tell(self, problem: str) -> None:
        """Say what went wrong, once as long as it does."""
        if problem and problem != self._said:
            self._note(f"{self._what}s are not synced, to be tried again: {problem}")
        elif self._said and not problem:
            self._note(f"{self._what}s are synced again")
        self._said = problem

    def _round(self, settle: float) -> list[str]:
        """Bring the destination up to date; what could not be done."""
        try:
            return self._bring_out(settle)
        except PermissionError as error:
            # Under Docker the program may be another user than we are.
            try:
                self._open_up()
                return self._bring_out(settle)
            except (OSError, LocalModeError) as again:
                return [f"{again}"] if isinstance(again, LocalModeError) else [_told(error)]
        except OSError as error:
            return [_told(error)]
        except LocalModeError as error:
            return [str(error)]

    def _bring_out(self, settle: float) -> list[str]:
        """One round; a destination that fails ends it, a file that does so does not.

        Raises:
            PermissionError: this user may not read or mark what the program wrote.
            OSError: the folder cannot be read.
            LocalModeError: the destination does not take something.
        """
        now = self._scan()
        changed = [name for name, stamp in now.items() if self._known.get(name) != stamp]
        gone = set(self._known) - set(now)
        if settle and (changed or gone):
            if self._ended.wait(settle):
                return []  # `finish` does it, with nobody there to change anything
            later = self._scan()
            changed = [name for name in changed if later.get(name) == now[name]]
            gone -= set(later)
        problems = [problem for name in sorted(changed) if (problem := self._put(name, settle))]
        for name in sorted(gone):
            self._store.remove(name)
            del self._known[name]
            if self._marks:
                beneath.unmark(self._folder, name, UPLOADED_SUFFIX, UPLOADING_SUFFIX)
        return problems

    def _put(self, name: str, settle: float) -> str:
        """Upload one file; what went wrong with it, empty when nothing did."""
        try:
            self._mark(name, UPLOADED_SUFFIX, UPLOADING_SUFFIX)
            stamp = beneath.copy_whole(self._folder, name, self._aside)
            if stamp is None:
                # While the program runs this is no fault: its next quiet moment will do.
                return "" if settle else f"{self._folder / name} changed while it was copied"
            self._store.put(self._aside, name)
            self._known[name] = stamp
            self._mark(name, UPLOADING_SUFFIX, UPLOADED_SUFFIX)
        except FileNotFoundError as error:
            return "" if settle else _told(error)  # the program removed it meanwhile
        except PermissionError:
            raise
        except OSError as error:
            return _told(error)
        finally:
            self._aside.unlink(missing_ok=True)
        return ""

    def _mark(self, name: str, old: str, new: str) -> None:
        if self._marks:
            beneath.mark(self._folder, name, old, new)

    def _scan(self) -> dict[str, Stamp]:
        found, others = beneath.files(self._folder, is_synced)
        for name in others:
            if name not in self._left_out:
                self._left_out.add(name)
                self._note(f"{self._what} {name} is not synced: it is no file, or a link that leads elsewhere")
        return found


def _told(error: OSError) -> str:
    return f"{error.filename or 'a file'}: {error.strerror or error}"
