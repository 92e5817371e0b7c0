"""The commands of the documents, as they are typed, in a fresh environment.

A page has what the README's installation gives, its own earlier commands, and nothing else: no
variables, a home of its own. Blocks marked ``bash`` are typed line by line; in those marked
``console`` the lines with ``$`` are. A block of Python that begins with a file's name is saved.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.conftest import missing

ROOT: Final = Path(__file__).parents[2]
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE: Final = re.compile(r"# (\w+\.py)\n")
SERVE: Final = "otel-helicone serve"

# The id of a session in a page's example, and how a reader finds one of their own.
EXAMPLE_ID: Final = re.compile(r"(?<=^otel-helicone sessions )0af$")
OWN_ID: Final = (
    "$(otel-helicone sessions --json"
    " | python -c 'import json, sys; print(json.load(sys.stdin)[0][\"session_id\"])')"
)

# Of each page, what is typed after its commands, and must be in what they print.
PAGES: Final = {
    "docs/local.md": ("Local Helicone is running", "parent"),
    "docs/troubleshooting.md": (),
    "docs/settings.md": (),
    "docs/bridge.md": (),
    # Last, for it installs more.
    "docs/zero-code.md": ("Nothing is wrong.",),
}
# These call the provider, or Helicone, which cannot be reached from a test: what is typed has to
# start, and to fail at that, as openai's client says it.
NOT_REACHED: Final = re.compile(r"APIConnectionError|AuthenticationError|OPENAI_API_KEY")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    yield from BLOCK.findall(page.read_text("utf-8"))


def commands(kind: str, text: str) -> list[str]:
    if kind == "bash":
        return [line for line in text.splitlines() if line.strip()]
    if kind == "console":
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return []


def _cache() -> str:
    asked = [sys.executable, "-m", "pip", "cache", "dir"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, folder: Path, constraints: Path) -> None:
        self.folder = folder
        self._home = folder.parent / "home"
        self._home.mkdir(exist_ok=True)
        # The versions that the other integration tests have; nothing else is known here.
        self._environ = {
            "HOME": str(self._home),
            "PATH": f"{Path(sys.executable).resolve().parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "PIP_CONSTRAINT": str(constraints),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_QUIET": "1",
            # What was downloaded once is not downloaded again; pip installs the same.
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or _cache(),
            **{name: os.environ[name] for name in os.environ if name.startswith("PIP_")},
        }

    def save(self, text: str) -> None:
        named = FILE.match(text)
        if named is not None:
            (self.folder / named[1]).write_text(text, "utf-8")

    def types(self, lines: list[str]) -> subprocess.CompletedProcess[str]:
        """Type commands into one terminal; a server goes to another, until the last has ended."""
        script = [
            "set -e",
            "server=",
            "trap 'test -z \"$server\" || kill $server; wait || true' EXIT",
        ]
        for line in lines:
            if line.startswith(SERVE):
                script += [f"{line} >served.txt & server=$!", "until grep -s Ctrl-C served.txt"]
                script += ["do kill -0 $server; sleep 0.1; done"]
            else:
                script.append(EXAMPLE_ID.sub(lambda _: OWN_ID, line))
        return subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Give a clone in which the README's installation was typed, and its programs saved."""
    base = tmp_path_factory.mktemp("typed")
    clone = base / "otel-helicone"
    clone.mkdir()
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        if name.startswith(("src/", "README", "LICENSE", "pyproject")) and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    pins = (ROOT / "requirements" / "integration.txt").read_text("utf-8")
    constraints = base / "constraints.txt"
    # Without the hashes, which would be asked of the clone too.
    constraints.write_text("\n".join(re.findall(r"^\w\S*==\S+", pins, re.MULTILINE)), "utf-8")
    reader = Reader(clone, constraints)
    typed: list[str] = []
    for kind, text in blocks(ROOT / "README.md"):
        reader.save(text)
        if not any(line.startswith("pip install") for line in typed):
            typed += commands(kind, text)
    ended = reader.types(typed)
    if ended.returncode:
        missing(f"what a fresh environment needs ({ended.stderr[-2000:]})")
    return reader


def test_the_readmes_commands_show_a_session(reader: Reader) -> None:
    typed = [". .venv/bin/activate"]
    for kind, text in blocks(ROOT / "README.md"):
        lines = commands(kind, text)
        if not any(line.startswith(("python3 -m venv", "pip install")) for line in lines):
            typed += lines
    ended = reader.types(typed)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "└─ parent" in ended.stderr
    assert "   └─ child" in ended.stderr


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_commands_work_as_typed(reader: Reader, page: str) -> None:
    typed = [". .venv/bin/activate"]
    provider_is_called = []
    for kind, text in blocks(ROOT / page):
        for line in commands(kind, text):
            if "opentelemetry-instrument python app.py" in line:
                provider_is_called.append((list(typed), line))
            else:
                typed.append(line)
    ended = reader.types(typed)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for words in PAGES[page]:
        assert words in ended.stdout + ended.stderr
    for before, line in provider_is_called:
        exports = [one for one in before if one.startswith((". ", "export "))]
        called = reader.types([*exports, line])
        assert NOT_REACHED.search(called.stderr), called.stderr
        assert "otel-helicone is off" not in called.stderr
        assert "Failed to auto initialize" not in called.stderr
