"""MCP: a loop over tools whose server is a process of its own, over stdio."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from openai import AsyncOpenAI
from opentelemetry import trace

tracer = trace.get_tracer("weather-app")
SERVER = Path(__file__).with_name("weather_server.py")


async def run_agent(base_url: str, city: str) -> str:
    client = AsyncOpenAI(base_url=base_url)
    command = "opentelemetry-instrument"
    arguments = [sys.executable, str(SERVER), base_url]
    server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    messages: list[Any] = [{"role": "user", "content": f"How is the weather in {city}?"}]
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools: Any = [
            {
                "type": "function",
                "function": {"name": tool.name, "parameters": tool.inputSchema},
            }
            for tool in (await session.list_tools()).tools
        ]
        with tracer.start_as_current_span("weather report"):
            while True:
                done = await client.chat.completions.create(
                    model="gpt-4o-mini", messages=messages, tools=tools
                )
                message: Any = done.choices[0].message
                if not message.tool_calls:
                    return str(message.content)
                messages.append(message)
                for call in message.tool_calls:
                    with tracer.start_as_current_span("use a tool"):
                        result = await session.call_tool(
                            call.function.name, json.loads(call.function.arguments)
                        )
                    told: Any = result.content[0]
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": told.text})
