"""Gives the tests in Pants' sandbox the metadata that an installed distribution has.

Pants runs tests against plain source directories, where ``importlib.metadata`` finds no entry points, so no
transport could be looked up. This writes ``<name>-<version>.dist-info`` beside the sources of each
distribution, from its pyproject.toml.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import toml
from pants.backend.python.goals.pytest_runner import PytestPluginSetup, PytestPluginSetupRequest
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileContent, PathGlobs
from pants.engine.rules import Get, collect_rules, rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule


@dataclass(frozen=True)
class DistInfoRequest(PytestPluginSetupRequest):
    @classmethod
    def is_applicable(cls, target: Target) -> bool:
        return True


def dist_info(path: str, pyproject: dict) -> list[FileContent]:
    """The files of one distribution's ``.dist-info``; ``path`` is that of its pyproject.toml."""
    project = pyproject["project"]
    directory = os.path.join(
        os.path.dirname(path), "src", f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    )
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    entry_points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
        for group, names in project.get("entry-points", {}).items()
    )
    return [
        FileContent(os.path.join(directory, "METADATA"), metadata.encode()),
        FileContent(os.path.join(directory, "entry_points.txt"), entry_points.encode()),
    ]


@rule
async def write_dist_info(request: DistInfoRequest) -> PytestPluginSetup:
    projects = await Get(DigestContents, PathGlobs(["packages/*/pyproject.toml"]))
    files = [file for found in projects for file in dist_info(found.path, toml.loads(found.content.decode()))]
    return PytestPluginSetup(await Get(Digest, CreateDigest(files)))


def rules():
    return [*collect_rules(), UnionRule(PytestPluginSetupRequest, DistInfoRequest)]
