"""A process in which gevent or eventlet has replaced the standard library's sockets, threads and locks.

    python child.py '{"library": "gevent", "scenarios": ["waiting", ...], "url": ..., ...}'

It does the scenarios in greenlets, all at once (but for those that begin alone), and writes a line of JSON for each:
``{"scenario": name, "error": null}``, or the traceback of what went wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def patch(library: str) -> None:
    """Have the library replace what blocks; before anything that uses it is imported."""
    if library == "gevent":
        import gevent.monkey

        gevent.monkey.patch_all()
    else:
        import eventlet

        eventlet.monkey_patch()


if __name__ == "__main__":
    START = json.loads(sys.argv[1])
    patch(START["library"])
    sys.path.insert(0, str(Path(__file__).parent))

    from runner import main

    main(START)
