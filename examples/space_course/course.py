"""A course on space, written by an LLM: an ordinary application that is traced.

It knows nothing of Helicone. It asks an OpenAI-compatible API through the client that it is given,
and opens a span for each of its steps, as it would for any tracing backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from openai import AsyncOpenAI
from opentelemetry import trace

tracer = trace.get_tracer("space-course")

MODEL = "gpt-4o-mini"
TITLE = "Space Course"
CHAPTERS = (
    "Introduction",
    "The Solar System",
    "The Universe",
    "Space Exploration",
    "Space Technology",
    "Space Travel",
)
SECTIONS = ("Overview", "Key Concepts", "Key Figures", "Key Events", "Key Technologies")

Contents = Mapping[str, Sequence[str]]
"""The sections of each chapter."""


async def write_course(
    client: AsyncOpenAI,
    contents: Contents | None = None,
    on_answer: Callable[[str], None] = lambda _question: None,
) -> None:
    """Write the course: its abstract, its outline, and the outline of each chapter and section.

    Args:
        client: the client to ask with.
        contents: the chapters and their sections; six chapters of five sections by default.
        on_answer: called with each question that was answered.
    """
    chapters = contents if contents is not None else dict.fromkeys(CHAPTERS, SECTIONS)

    async def ask(question: str) -> str:
        answer = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}]
        )
        on_answer(question)
        return answer.choices[0].message.content or ""

    async def write_section(chapter: str, section: str) -> None:
        with tracer.start_as_current_span(section):
            await ask(f"Outline the section {section!r} of the chapter {chapter!r}.")

    async def write_chapter(chapter: str, sections: Sequence[str]) -> None:
        with tracer.start_as_current_span(chapter):
            await ask(f"Outline the chapter {chapter!r}.")
            await asyncio.gather(*(write_section(chapter, section) for section in sections))

    with tracer.start_as_current_span(TITLE):
        with tracer.start_as_current_span("abstract"):
            draft = await ask("Write the abstract of a course on space.")
            await ask(f"Make this abstract shorter: {draft}")
        with tracer.start_as_current_span("outline"):
            await ask("Outline a course on space.")
            await asyncio.gather(*(write_chapter(*chapter) for chapter in chapters.items()))
