"""A real browser that tells of everything a page must not do, and the accessibility checker axe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.integration.conftest import HERE, missing, require

Scheme = Literal["light", "dark"]

WIDE = (1280, 900)
NARROW = (360, 740)
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
# The browser's own errands would look for hosts outside of this machine.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Visit:
    """A tab, and what its pages did that they should not have done.

    Attributes:
        page: Playwright's page.
        host: host and port of the local Helicone.
        errors: what the console, the content security policy and failed requests said.
        strangers: requests to other hosts.
    """

    page: Any
    host: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Go to a page, and see that it is there."""
        answer = self.page.goto(f"http://{self.host}{address}")
        assert answer is not None
        assert answer.status == 200, f"{address} answered {answer.status}"

    def accessibility_problems(self) -> list[str]:
        """Give what axe calls serious or critical, as texts."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{problem['id']}: {problem['help']}: {node['html'][:200]}"
            for problem in found["violations"]
            if problem["impact"] in ("serious", "critical")
            for node in problem["nodes"]
        ]

    def is_wider_than_the_screen(self) -> bool:
        """Tell whether the page as a whole has to be scrolled sideways."""
        root = "document.documentElement"
        return bool(self.page.evaluate(f"{root}.scrollWidth > {root}.clientWidth + 1"))

    def focused(self) -> str:
        """Give the text of what has the focus."""
        return str(self.page.evaluate("document.activeElement.innerText")).strip()

    def focuses_a_link(self) -> bool:
        """Tell whether a link or a button has the focus."""
        return bool(self.page.evaluate("document.activeElement.matches('a, button')"))


class Browser:
    """Debian's Chromium, driven by Playwright."""

    def __init__(self, chromium: Any) -> None:
        """Take the running browser."""
        self._chromium = chromium

    @contextmanager
    def visit(
        self,
        host: str,
        *,
        scheme: Scheme = "light",
        size: tuple[int, int] = WIDE,
        scripts: bool = True,
    ) -> Iterator[Visit]:
        """Open an empty tab, and see at the end that nothing was amiss in it.

        Args:
            host: host and port of the local Helicone.
            scheme: the colours that the reader prefers.
            size: width and height in CSS pixels.
            scripts: whether the browser runs scripts.
        """
        context = self._chromium.new_context(
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=scripts,
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(120_000)
        visit = Visit(context.new_page(), host)

        def on_request(request: Any) -> None:
            address = urlsplit(request.url)
            if address.scheme != "data" and address.netloc != host:
                visit.strangers.append(request.url)

        def on_console(message: Any) -> None:
            if message.type in ("error", "warning"):
                visit.errors.append(message.text)

        visit.page.on("request", on_request)
        visit.page.on("console", on_console)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        visit.page.on("dialog", lambda dialog: visit.errors.append(f"dialog: {dialog.message}"))
        try:
            yield visit
            assert visit.errors == []
            assert visit.strangers == []
        finally:
            context.close()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the browser, or skip the test where it is missing."""
    playwright = require("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        missing("chromium")
    if not Path(AXE).is_file():
        missing("axe-core")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
