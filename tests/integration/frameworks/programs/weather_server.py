"""An MCP server with a tool that asks a model: ``weather_server.py BASE_URL``, over stdio."""

import sys

from mcp.server.fastmcp import FastMCP
from openai import AsyncOpenAI

server = FastMCP("weather")
client = AsyncOpenAI(base_url=sys.argv[1])


@server.tool()
async def weather(city: str) -> str:
    """Tell the weather of a city."""
    done = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"Look at {city}"}],
    )
    return str(done.choices[0].message.content)


if __name__ == "__main__":
    server.run()
