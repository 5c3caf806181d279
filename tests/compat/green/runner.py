"""Runs scenarios in greenlets."""

from __future__ import annotations

import faulthandler
import json
import traceback
from time import sleep
from typing import Any

import scenarios
from rig import LIMIT, Rig, greenlets


def run(rig: Rig) -> None:
    """Do a scenario and tell how it went."""
    error = None
    try:
        with rig.greenlets.limit(LIMIT):
            getattr(scenarios, rig.name)(rig)
    except BaseException:
        error = traceback.format_exc()
    finally:
        rig.alone = False
        rig.close()
    print(json.dumps({"scenario": rig.name, "error": error}), flush=True)


def main(start: dict[str, Any]) -> None:
    """Do all of them."""
    # Should something hold the hub for ever, no greenlet can say where.
    faulthandler.dump_traceback_later(LIMIT + 10, exit=True)
    library = greenlets(start["library"])
    running = []
    for name in start["scenarios"]:
        rig = Rig(name, start, library)
        running.append(library.spawn(run, rig))
        while rig.alone:
            sleep(0.01)
    for each in running:
        each.join()
