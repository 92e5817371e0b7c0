"""The bridge: takes OTLP from an OpenTelemetry Collector, and logs to Helicone."""
