"""What fits nowhere else."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ("emergency_dump_state",)


def emergency_dump_state(state: Any, open_file: Any = open, dump: Any = None, stderr: Any = None) -> str:
    """Save ``state`` to a new temporary file before it is lost, say where on ``stderr``, and return the path.

    ``dump(state, file, protocol)`` writes it (``pickle.dump``, protocol 0); when that fails the file gets readable
    text instead. The file is only readable by its owner.
    """
    import pickle
    from tempfile import mkstemp

    stderr = sys.stderr if stderr is None else stderr
    fd, path = mkstemp(prefix="kombu-emergency-", suffix=".dump")
    print(f"EMERGENCY DUMP STATE TO FILE -> {path} <-", file=stderr)
    with open_file(fd if open_file is open else path, "wb") as fh:
        try:
            (pickle.dump if dump is None else dump)(state, fh, 0)
        except Exception as exc:
            from pprint import pformat

            print(f"cannot pickle the state ({exc!r}): written as text", file=stderr)
            fh.seek(0)
            fh.truncate()
            fh.write(pformat(state).encode("utf-8", "backslashreplace"))
    if open_file is not open:
        import os

        os.close(fd)
    return path
