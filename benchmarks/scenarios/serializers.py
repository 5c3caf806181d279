"""The 1 KB dictionary through the serializer registry, as messages go: JSON and YAML, each against its library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from common import BODY, main, timed

if TYPE_CHECKING:
    from collections.abc import Callable


def repeated(function: Callable[..., Any], *args: Any) -> Callable[[int], None]:
    def run(calls: int) -> None:
        for _ in range(calls):
            function(*args)

    return run


def kombu() -> dict[str, Any]:
    from kombu.serialization import dumps, loads

    figures: dict[str, Any] = {}
    for name in ("json", "yaml"):
        content_type, encoding, payload = dumps(BODY, name)
        assert loads(payload, content_type, encoding, [content_type]) == BODY
        figures[f"{name}_dumps"] = timed(repeated(dumps, BODY, name))
        figures[f"{name}_loads"] = timed(repeated(loads, payload, content_type, encoding, [content_type]))
    return figures


def floor() -> dict[str, Any]:
    import yaml

    def dump(value: object) -> str:
        return yaml.dump(value, Dumper=yaml.CSafeDumper)

    def load(text: str) -> object:
        return yaml.load(text, Loader=yaml.CSafeLoader)

    return {
        "json_dumps": timed(repeated(json.dumps, BODY)),
        "json_loads": timed(repeated(json.loads, json.dumps(BODY))),
        "yaml_dumps": timed(repeated(dump, BODY)),
        "yaml_loads": timed(repeated(load, dump(BODY))),
    }


main(kombu, floor)
