"""From descriptions of finished spans to Helicone's log records."""
