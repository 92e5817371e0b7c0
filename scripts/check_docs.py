"""Checks what no linter does: links in the documents, hosts in any file, the length of modules.

Prints one line per finding and exits with 1 if there is any.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
LINES_OF_A_MODULE = 400

# Where packages come from is a setting of whoever installs them, so no file names such a host.
# They are put together here because this file is checked like all others.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
    )
)
_REGISTRY = re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, REGISTRIES)) + r")(?![\w-])")

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?:(?!\1).)+\1")
_LINKS = (
    # [text](target), ![text](target "title"), and [![text](image)](target)
    re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'(][^)]*)?\)"),
    # [name]: target
    re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)"),
    # <img src="target">, <a href="target">
    re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]+)\"", re.IGNORECASE),
)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_NAMED = re.compile(r"<[a-z0-9]+\b[^>]*?\b(?:id|name)=\"([^\"]+)\"", re.IGNORECASE)


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a document that are not inside a fenced code block."""
    fence = ""
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = ""
        elif mark:
            fence = mark[1]
        else:
            yield number, line


@cache
def anchors(file: Path) -> frozenset[str]:
    """The fragments that lead into a document: its headings, as GitHub spells them, and ids."""
    found: set[str] = set()
    for _, line in prose(file):
        found.update(_NAMED.findall(line))
        if heading := _HEADING.match(line):
            # A link in a heading counts with its text only.
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            again = 0
            while (name := f"{slug}-{again}" if again else slug) in found:
                again += 1
            found.add(name)
    return frozenset(found)


def broken_links(file: Path) -> Iterator[str]:
    """One text per relative link that leads nowhere."""
    for number, line in prose(file):
        text = _CODE.sub("", line)
        for target in (link for pattern in _LINKS for link in pattern.findall(text)):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            place = f"{file.relative_to(ROOT)}:{number}"
            path = unquote(parts.path)
            # On a code host, `/docs` is the root of the repository.
            base = ROOT if path.startswith("/") else file.parent
            other = (base / path.lstrip("/")).resolve() if path else file
            if not other.is_relative_to(ROOT) or not other.exists():
                yield f"{place}: {target} does not exist"
            elif (
                parts.fragment
                and other.suffix == ".md"
                and unquote(parts.fragment) not in anchors(other)
            ):
                yield f"{place}: {target} has no such heading"


def committed_files() -> Iterator[Path]:
    """What is, or would be, in the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    yield from (file for name in listing.split("\0") if name and (file := ROOT / name).is_file())


def named_registries(file: Path) -> Iterator[str]:
    """One text per line that names the host of a package registry."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if found := _REGISTRY.search(line):
            yield f"{file.relative_to(ROOT)}:{number}: names the package registry {found[0]}"


def findings() -> Iterator[str]:
    """Everything that is wrong."""
    for name in DOCUMENTS:
        if not (ROOT / name).is_file():
            yield f"{name} is missing"
    documents = [ROOT / name for name in DOCUMENTS if (ROOT / name).is_file()]
    for document in (*documents, *sorted((ROOT / "docs").rglob("*.md"))):
        yield from broken_links(document)
    for file in committed_files():
        yield from named_registries(file)
    for module in sorted((ROOT / "src").rglob("*.py")):
        lines = len(module.read_text("utf-8").splitlines())
        if lines >= LINES_OF_A_MODULE:
            yield (
                f"{module.relative_to(ROOT)}: {lines} lines; a module stays under"
                f" {LINES_OF_A_MODULE}, so that it is one thing"
            )


def main() -> int:
    """Print the findings; the exit code says whether there are any."""
    found = list(findings())
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
