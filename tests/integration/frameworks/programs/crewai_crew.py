"""CrewAI: a crew of two agents with a task each, and a flow."""

from crewai import LLM, Agent, Crew, Process, Task
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool

MODEL = "gpt-4o-mini-2024-07-18"


@tool("weather")
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _model(base_url: str, *, stream: bool) -> LLM:
    return LLM(model=f"openai/{MODEL}", base_url=base_url, api_key="none", stream=stream)


def _crew(base_url: str, city: str, *, stream: bool) -> Crew:
    model = _model(base_url, stream=stream)
    forecaster = Agent(
        role="Forecaster", goal="Tell the weather", backstory="", llm=model, tools=[weather]
    )
    editor = Agent(role="Editor", goal="Write it up", backstory="", llm=model)
    look_up = Task(
        name="look up",
        description=f"Look up the weather in {city}.",
        expected_output="A sentence.",
        agent=forecaster,
    )
    write = Task(
        name="write",
        description=f"Write a line about the weather in {city}.",
        expected_output="A line.",
        agent=editor,
    )
    return Crew(
        name="weather crew",
        agents=[forecaster, editor],
        tasks=[look_up, write],
        process=Process.sequential,
    )


def run_crew(base_url: str, city: str) -> str:
    return str(_crew(base_url, city, stream=False).kickoff())


def run_streamed_crew(base_url: str, city: str) -> str:
    return str(_crew(base_url, city, stream=True).kickoff())


class Forecast(Flow):
    name = "forecast"
    base_url: str = ""
    city: str = ""

    @start()
    def look_up(self) -> str:
        return str(_model(self.base_url, stream=False).call(f"The weather in {self.city}?"))

    @listen(look_up)
    def write(self, found: str) -> str:
        return str(_model(self.base_url, stream=False).call(f"Write up: {found}"))


def run_flow(base_url: str, city: str) -> str:
    flow = Forecast()
    flow.base_url, flow.city = base_url, city
    return str(flow.kickoff())
