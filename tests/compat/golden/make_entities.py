"""Makes entities.json: run by an interpreter that has kombu 5.7.0 installed.

    python tests/compat/golden/make_entities.py

Each case is a Python expression, so that the tests can build the same declaration again.
"""

from __future__ import annotations

import base64
import json
import pathlib
import pickle

import kombu
from kombu import Exchange, Queue, binding
from kombu.common import Broadcast

CASES = [
    "Exchange()",
    "Exchange('tasks')",
    "Exchange('news', 'topic', durable=False, delivery_mode='transient')",
    "Exchange('all', type='fanout', auto_delete=True, passive=True, no_declare=True)",
    "Exchange('match', 'headers', arguments={'alternate-exchange': 'lost'}, delivery_mode=2)",
    "binding(Exchange('news', 'topic'), 'news.*', {'x': 1}, {'y': 2})",
    "Queue()",
    "Queue('hipri', Exchange('tasks'), 'hipri')",
    "Queue('plain', 'by-name', routing_key='k', durable=False)",
    "Queue('mine', exclusive=True, no_ack=True, alias='me')",
    "Queue('two', [binding(Exchange('a'), '1'), binding(Exchange('b', 'topic'), '#')])",
    "Queue('kept', Exchange('a'), bindings=[binding(Exchange('c'), '3')])",
    "Queue('limits', expires=3.5, message_ttl=4, max_length=5, max_length_bytes=6, max_priority=7)",
    "Queue('args', Exchange('e'), queue_arguments={'q': 1}, binding_arguments={'b': 2},"
    " consumer_arguments={'x-priority': 3}, no_declare=True)",
    "Broadcast('tasks', queue='mine')",
]
NAMESPACE = {"Broadcast": Broadcast, "Exchange": Exchange, "Queue": Queue, "binding": binding}


def main() -> None:
    cases = [
        {
            "expression": case,
            "repr": repr(eval(case, dict(NAMESPACE))),
            "as_dict": eval(case, dict(NAMESPACE)).as_dict(recurse=True),
            "pickles": [
                base64.b64encode(pickle.dumps(eval(case, dict(NAMESPACE)), protocol)).decode() for protocol in (2, 4)
            ],
        }
        for case in CASES
    ]
    text = json.dumps({"made_by": {"kombu": kombu.__version__}, "cases": cases}, indent=1)
    pathlib.Path(__file__).with_name("entities.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
