"""What ``otel-helicone run`` is made of: a program, its environment, and what it left behind."""
