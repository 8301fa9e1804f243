"""Becomes another program that is killed when its parent ends.

Run:  python runners/tether.py PARENT_PID PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NOT_FOUND = 127
"""What shells and engines answer for a command that cannot be started."""


def main(argv: list[str]) -> int:
    """Tie to parent `argv[0]`, then become `argv[1:]`; returns only when that cannot be started."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(argv[0]):
        return _NOT_FOUND  # the parent ended before the tie was made
    # Python ignores SIGPIPE and passes that on; a program expects the default.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[1], argv[1:])  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[1]!r}: {error.strerror}\n")
    return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
