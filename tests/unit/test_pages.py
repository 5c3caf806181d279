"""What the pages show runs: the blocks of Python of each page, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from textwrap import dedent
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/*.md", "packages/*/README.md", "template/README.md"]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)

#: What a page names that is elsewhere here: the fixture that knows where.
PLACES = {
    "amqp://guest:guest@localhost//": "amqp_url",
    "redis://localhost:6379/0": "redis_url",
    "sqs://": "sqs_url",
    "filedir:///var/spool/mine": "spool_url",
    "https://example.org/": "web_url",
}


#: The template is not installed here.
TEMPLATE = f"""
import sys
sys.path.append({str(ROOT / "template" / "src")!r})
from kombu.transport import TRANSPORT_ALIASES
TRANSPORT_ALIASES["filedir"] = "kombu_filedir:Transport"
"""


def programs():
    """The blocks of each page, one after the other as they are read."""
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        found = [dedent(match[2]) for match in BLOCK.finditer(path.read_text())]
        if found:
            yield pytest.param("\n".join(found), id=str(path.relative_to(ROOT)))


@pytest.fixture
def sqs_url(sqs_endpoint):
    return sqs_endpoint.url


@pytest.fixture
def spool_url(tmp_path):
    return f"filedir://{tmp_path}"


@pytest.fixture
def web_url():
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("code", list(programs()))
def test_what_a_page_shows_runs(code, request, tmp_path):
    for named, fixture in PLACES.items():
        if named in code:
            code = code.replace(named, request.getfixturevalue(fixture))
    if "filedir:" in code:
        code = TEMPLATE + code
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), code
