"""How a conformance test is tied to what the transport claims.

A test (or a class of tests) names with :func:`requires` the capabilities without which it cannot pass. Where
the transport claims them, it has to pass. Where it does not, the test still runs, and has to end in
:class:`~kombu.exceptions.UnsupportedCapability`, or in any failure when the author documents the degradation.
Passing then is the error: the transport does more than it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from kombu.exceptions import UnsupportedCapability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ("expect", "is_claimed", "requires", "unclaimed")

_ATTRIBUTE = "__kombu_requires__"
_T = TypeVar("_T")


def requires(*capabilities: str) -> Callable[[_T], _T]:
    """Decorate a test or class with the capabilities it proves.

    Arguments:
        capabilities: names of fields of :class:`kombu.transport.base.Capabilities`; a single exchange type is
            written ``exchange_type:topic``.
    """

    def mark(target: _T) -> _T:
        setattr(target, _ATTRIBUTE, capabilities)
        return target

    return mark


def _required(test: pytest.FixtureRequest) -> Iterator[str]:
    for owner in (test.cls, test.function):
        yield from getattr(owner, _ATTRIBUTE, ())


def is_claimed(implements: Any, capability: str) -> bool:
    """Whether ``implements`` claims the capability, or the ``exchange_type:`` of that name."""
    name, _, member = capability.partition(":")
    claimed = getattr(implements, name)
    return member in claimed if member else bool(claimed)


def unclaimed(test: pytest.FixtureRequest, implements: Any) -> list[str]:
    """The capabilities which the running test requires and the transport does not claim."""
    return [name for name in _required(test) if not is_claimed(implements, name)]


def expect(test: pytest.FixtureRequest, missing: list[str], degradations: Mapping[str, str]) -> None:
    """Tell pytest how the running test has to end.

    Arguments:
        missing: what :func:`unclaimed` found.
        degradations: sentences by capability, or by ``TestClass.test_name`` for one documented exception.
    """
    name = f"{test.cls.__name__}.{test.function.__name__}" if test.cls else test.function.__name__
    if name in degradations:
        test.applymarker(pytest.mark.xfail(strict=True, reason=f"documented: {degradations[name]}"))
    elif missing and all(capability in degradations for capability in missing):
        reason = "; ".join(degradations[capability] for capability in missing)
        test.applymarker(pytest.mark.xfail(strict=True, reason=f"documented: {reason}"))
    elif missing:
        reason = f"{', '.join(missing)} not claimed: must be refused with UnsupportedCapability"
        test.applymarker(pytest.mark.xfail(strict=True, raises=UnsupportedCapability, reason=reason))
