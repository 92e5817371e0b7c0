"""LiteLLM with its own OpenTelemetry callback, as its documentation sets it up."""

import litellm
from litellm_calls import (
    run_async_calls,
    run_async_streamed_calls,
    run_calls,
    run_streamed_calls,
)

__all__ = ["run_async_calls", "run_async_streamed_calls", "run_calls", "run_streamed_calls"]

litellm.callbacks = ["otel"]
