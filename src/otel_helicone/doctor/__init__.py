"""``otel-helicone doctor``: says what is in effect, where it came from, and what is wrong."""
