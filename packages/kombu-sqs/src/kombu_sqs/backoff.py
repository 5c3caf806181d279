"""How long to wait: after errors, and before a failed task comes again. Pure: the random number is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("pause_after", "retry_delay")


def pause_after(failures: int, jitter: float, base: float = 0.2, limit: float = 20.0) -> float:
    """Seconds to wait after ``failures`` errors in a row: doubling up to ``limit``, the upper half at random.

    ``jitter`` is a random number from 0 to 1, so that those who failed together do not come back together.
    """
    full = min(limit, base * 2 ** min(failures, 30))
    return float(full * (0.5 + 0.5 * jitter))


def retry_delay(
    policy: Mapping[Any, Any] | None, tasks: Any, headers: Mapping[str, Any] | None, receive_count: int
) -> int | None:
    """Seconds until a rejected Celery task comes again; None when no backoff policy is for it.

    Arguments:
        policy: receive count -> seconds; above its last entry that one holds.
        tasks: names of the tasks it is for.
        headers: of the message; Celery's ``task`` names the task.
        receive_count: how often the message was received, 1 the first time.
    """
    task = (headers or {}).get("task")
    if not policy or not tasks or task not in tasks:
        return None
    steps = {int(count): int(seconds) for count, seconds in policy.items()}
    below = [count for count in steps if count <= receive_count]
    return steps[max(below)] if below else None
