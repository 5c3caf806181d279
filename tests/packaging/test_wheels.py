"""What is in the wheels, and what is not."""

from __future__ import annotations

import re
import sys
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contents(wheels: dict[str, Path]) -> dict[str, list[str]]:
    """The files of each wheel but its metadata, by the distribution's name."""
    return {
        name: [file for file in ZipFile(wheel).namelist() if ".dist-info/" not in file]
        for name, wheel in wheels.items()
    }


@pytest.fixture(scope="module")
def metadata(wheels: dict[str, Path]) -> dict[str, Message]:
    """METADATA of each wheel, by the distribution's name."""
    found = {}
    for name, wheel in wheels.items():
        with ZipFile(wheel) as archive:
            (path,) = (path for path in archive.namelist() if path.endswith(".dist-info/METADATA"))
            found[name] = message_from_bytes(archive.read(path))
    return found


def test_only_core_owns_the_import_package_kombu(contents: dict[str, list[str]]) -> None:
    owners = {name for name, files in contents.items() if any(file.startswith("kombu/") for file in files)}
    assert owners == {"kombu-core"}


def test_each_wheel_holds_one_import_package_of_its_own_name(contents: dict[str, list[str]]) -> None:
    for name, files in contents.items():
        expected = {"kombu": set(), "kombu-core": {"kombu"}}.get(name, {name.replace("-", "_")})
        assert {file.split("/")[0] for file in files} == expected


def test_the_umbrella_has_no_code(contents: dict[str, list[str]]) -> None:
    assert contents["kombu"] == []


def test_every_source_file_is_shipped_and_nothing_else(contents: dict[str, list[str]]) -> None:
    for name, files in contents.items():
        source = ROOT / "packages" / name / "src"
        written = {
            path.relative_to(source).as_posix()
            for path in source.rglob("*")
            if path.is_file() and path.suffix in {".py", ".typed", ".lua"} and not path.match("*.egg-info/*")
        }
        assert set(files) == written


def test_wheels_with_code_are_typed_and_hold_no_tests(contents: dict[str, list[str]]) -> None:
    for name, files in contents.items():
        if files:
            assert f"{files[0].split('/')[0]}/py.typed" in files, name
        assert not [file for file in files if re.search(r"(^|/)(tests?/|test_|conftest)", file)]


def test_one_version_one_licence_and_the_readme(
    metadata: dict[str, Message], projects: dict[str, Any]
) -> None:
    assert {project["project"]["version"] for project in projects.values()} == {"6.0.0"}
    for name, headers in metadata.items():
        assert headers["Version"] == "6.0.0"
        assert headers["License-Expression"] == "BSD-3-Clause"
        assert headers["License-File"] == "LICENSE"
        assert headers["Requires-Python"] == ">=3.10"
        assert str(headers.get_payload()).startswith(f"# {name}\n")


def test_the_licence_is_the_same_text_everywhere(projects: dict[str, Any]) -> None:
    texts = {(ROOT / "packages" / name / "LICENSE").read_text() for name in projects}
    assert texts == {(ROOT / "LICENSE").read_text()}


def test_core_needs_only_what_finds_the_plugins(metadata: dict[str, Message]) -> None:
    required = metadata["kombu-core"].get_all("Requires-Dist", [])
    assert [line for line in required if "extra ==" not in line] == ["importlib-metadata>=4.6"]


def test_lower_bounds_without_ceilings_and_plugins_need_only_core_of_ours(
    metadata: dict[str, Message],
) -> None:
    # (Celery requires `kombu`, which must not be version 5 beside kombu-core)
    also = {"kombu-celery-amqp": {"kombu"}}
    for name, headers in metadata.items():
        required = headers.get_all("Requires-Dist", [])
        assert not [line for line in required if re.search(r"<|==|~=", line.split(";")[0])]
        if name not in {"kombu", "kombu-core"}:
            ours = {match[0] for line in required if (match := re.match(r"kombu[\w-]*", line))}
            assert ours == {"kombu-core"} | also.get(name, set())


def test_the_oldest_drivers_are_the_ones_tested(projects: dict[str, Any]) -> None:
    wanted = {
        needed.replace(">=", "==")
        for project in projects.values()
        for needed in project["project"]["dependencies"]
        if not needed.startswith(("kombu", "importlib-metadata"))
    }
    lists = [ROOT / "tests" / name for name in ("oldest.txt", "oldest-celery.txt")]
    lines = [line for path in lists for line in path.read_text().splitlines()]
    assert {line for line in lines if not line.startswith("#")} == wanted


def test_the_umbrella_brings_only_distributions_that_exist(
    metadata: dict[str, Message], projects: dict[str, Any]
) -> None:
    required = metadata["kombu"].get_all("Requires-Dist", [])
    named = {re.match(r"[\w-]+", line)[0] for line in required}  # type: ignore[index]
    assert {"kombu-core", "kombu-memory"} <= named <= projects.keys()


def test_the_tools_look_at_every_distribution(projects: dict[str, Any]) -> None:
    # When a distribution is added, then mypy, the import linter and ruff are told of it.
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    coded = {name: ROOT / "packages" / name for name in projects if name != "kombu"}
    packages = {"kombu" if name == "kombu-core" else name.replace("-", "_") for name in coded}
    plugins = packages - {"kombu"}
    contracts = {contract["id"]: contract for contract in tool["importlinter"]["contracts"]}

    assert set(tool["importlinter"]["root_packages"]) == packages
    assert set(contracts["core-knows-no-plugin"]["forbidden_modules"]) == plugins
    assert set(contracts["plugins-are-strangers"]["modules"]) == plugins
    assert set(tool["ruff"]["lint"]["isort"]["known-first-party"]) == packages
    assert set(tool["mypy"]["mypy_path"]) == {f"$MYPY_CONFIG_FILE_DIR/packages/{name}/src" for name in coded}
