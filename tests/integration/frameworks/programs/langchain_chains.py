"""LangChain: chains, batches, structured output, fallbacks, retries, and a model alone."""

from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough, chain
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Forecast(BaseModel):
    """A forecast."""

    city: str


def _model(base_url: str, model: str = "gpt-4o-mini") -> ChatOpenAI:
    return ChatOpenAI(
        model=model, base_url=base_url, api_key="none", max_retries=0, stream_usage=True
    )


def _chain(base_url: str) -> Runnable[dict[str, Any], str]:
    prompt = ChatPromptTemplate.from_messages([("user", "How is the weather in {city}?")])
    return prompt | _model(base_url) | StrOutputParser()


def run_chain(base_url: str, city: str) -> str:
    return _chain(base_url).with_config(run_name="forecast chain").invoke({"city": city})


def run_unnamed_chain(base_url: str, city: str) -> str:
    return "".join(_chain(base_url).stream({"city": city}))


def run_batch(base_url: str, city: str) -> str:
    asked = _chain(base_url).with_config(run_name="batched")
    return " ".join(asked.batch([{"city": city}, {"city": city}]))


async def run_async_batch_in_a_chain(base_url: str, city: str) -> str:
    asked = _chain(base_url).with_config(run_name="one of them")

    @chain
    async def newspaper(city: str) -> str:
        answers = await asked.abatch([{"city": city}, {"city": city}])
        async for piece in asked.astream({"city": city}):
            answers.append(piece)
        return " ".join(answers)

    return str(await newspaper.ainvoke(city))


def run_parallel(base_url: str, city: str) -> str:
    asked = _chain(base_url)
    both = (RunnablePassthrough() | {"today": asked, "tomorrow": asked}).with_config(
        run_name="both days"
    )
    return str(both.invoke({"city": city}))


def run_structured_output(base_url: str, city: str) -> str:
    model = _model(base_url).with_structured_output(Forecast, method="function_calling")
    told = model.with_config(run_name="structured").invoke(f"How is the weather in {city}?")
    assert isinstance(told, Forecast)
    return f"sunny in {told.city}"


def run_fallback(base_url: str, city: str) -> str:
    model = _model(base_url, "no-such-model").with_fallbacks([_model(base_url)])
    asked = (model | StrOutputParser()).with_config(run_name="with a fallback")
    return str(asked.invoke(f"How is the weather in {city}?"))


def run_retry(base_url: str, city: str) -> str:
    attempts = 0

    def strict(answer: str) -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ValueError(answer)
        return answer

    asked = (_chain(base_url) | RunnableLambda(strict)).with_retry(
        stop_after_attempt=2, wait_exponential_jitter=False
    )
    return asked.with_config(run_name="with a retry").invoke({"city": city})


def run_model(base_url: str, city: str) -> str:
    return str(_model(base_url).invoke(f"How is the weather in {city}?").content)


async def run_streamed_model(base_url: str, city: str) -> str:
    asked = _model(base_url).astream(f"How is the weather in {city}?")
    return "".join([str(piece.content) async for piece in asked])
