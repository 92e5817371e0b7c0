"""DSPy with the client of its own that it uses by default."""

import dspy


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _model(base_url: str) -> dspy.LM:
    return dspy.LM(
        "openai/gpt-4o-mini", api_base=base_url, api_key="none", cache=False, num_retries=0
    )


def run_agent(base_url: str, city: str) -> str:
    with dspy.context(lm=_model(base_url)):
        agent = dspy.ReAct("question -> answer", tools=[weather])
        return agent(question=f"How is the weather in {city}?").answer


async def run_streamed_answer(base_url: str, city: str) -> str:
    with dspy.context(lm=_model(base_url)):
        program = dspy.streamify(
            dspy.ChainOfThought("question -> answer"),
            stream_listeners=[dspy.streaming.StreamListener("answer")],
        )
        parts = [part async for part in program(question=f"How is the weather in {city}?")]
    return parts[-1].answer
