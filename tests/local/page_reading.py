"""Reading a page as a screen reader does, for the tests of the pages."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx2


class Page(HTMLParser):
    """What a screen reader gets of a page: its words, its links, its tables' rows."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.source = answer.text
        self.words = ""
        self.links: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._link: str | None = None
        self._link_words = ""
        self._hidden: str | None = None
        self._in_cell = False
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if given.get("aria-hidden") == "true":
            self._hidden = tag
        elif tag == "a":
            self._link, self._link_words = given.get("href"), ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        elif tag in ("td", "th"):
            self._in_cell = False
        elif tag == "a" and self._link is not None:
            self.links[" ".join(self._link_words.split())] = self._link
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self.words += data
        self._link_words += data
        if self._in_cell:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()

    def row(self, start: str) -> list[str]:
        """Give the cells of the one row whose first cell starts so."""
        (found,) = (row for row in self.rows if row[0].startswith(start))
        return found

    def attributes(self, tag: str, **having: str) -> list[dict[str, str | None]]:
        """Give the attributes of the elements that have these among them."""
        return [
            given
            for name, given in self.tags
            if name == tag and all(given.get(key) == value for key, value in having.items())
        ]
