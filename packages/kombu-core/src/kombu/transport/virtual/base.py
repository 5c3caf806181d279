"""The historic path of the virtual transport's classes: the same names as the package's."""

from __future__ import annotations

from . import *  # noqa: F403
from . import __all__ as __all__
