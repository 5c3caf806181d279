"""What a request's outcome is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Promise",)


class Promise:
    """Call it with the outcome: ``fun`` hears it first, then all that asked with :meth:`then` what ``fun`` returned.

    Without ``fun`` they hear the outcome itself. Who asks late is called at once.
    """

    def __init__(self, fun: Callable[[Any], Any] | None = None, errback: Callable[[Exception], Any] | None = None):
        self._fun = fun
        self._errback = errback
        self._waiting: list[Promise] = []
        self._value: tuple[Any, ...] = ()
        self._error: Exception | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._fun!r}>"

    def then(self, callback: Callable[[Any], Any], errback: Callable[[Exception], Any] | None = None) -> Promise:
        """Call ``callback`` with the outcome, or ``errback`` with the exception of who should have heard it before."""
        later = Promise(callback, errback)
        if self._error is not None:
            if not later.throw(self._error):
                raise self._error
        elif self._value:
            later(*self._value)
        else:
            self._waiting.append(later)
        return later

    def __call__(self, outcome: Any) -> None:
        waiting, self._waiting = self._waiting, []
        self._error, self._value = None, ()
        try:
            value = outcome if self._fun is None else self._fun(outcome)
        except Exception as exc:
            self._error = exc
            told = [later.throw(exc) for later in waiting]
            told.append(self._errback is not None and self.throw(exc))
            if not any(told):
                raise
            return
        self._value = (value,)
        errors = []
        for later in waiting:
            try:
                later(value)
            except Exception as exc:  # the others hear all the same
                errors.append(exc)
        if errors:
            raise errors[0]

    def throw(self, exc: Exception) -> bool:
        """There will be no outcome: tell the errbacks; False when nobody listens."""
        waiting, self._waiting = self._waiting, []
        if self._errback is not None:
            self._errback(exc)
        told = [later.throw(exc) for later in waiting]
        return self._errback is not None or any(told)
