"""Instructor: answers in the form of a class."""

import instructor
import openai
from pydantic import BaseModel


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    words: str


def run_answer(base_url: str, city: str) -> str:
    client = instructor.from_openai(openai.OpenAI(base_url=base_url, api_key="none", max_retries=0))
    found = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"How is the weather in {city}?"}],
        response_model=Weather,
    )
    return f"sunny in {found.city}"


async def run_async_answer(base_url: str, city: str) -> str:
    client = instructor.from_openai(
        openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    )
    found = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"How is the weather in {city}?"}],
        response_model=Weather,
    )
    return f"sunny in {found.city}"


async def run_async_streamed_answer(base_url: str, city: str) -> str:
    client = instructor.from_openai(
        openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
    )
    stream = client.chat.completions.create_partial(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"How is the weather in {city}?"}],
        response_model=Weather,
    )
    parts = [part async for part in stream]
    return f"sunny in {parts[-1].city}"
