"""The settings: each is one row, with its name, its variable, how it is read, and what it means.

A component's settings are a frozen dataclass whose fields are the rows (``processor``,
``exporter``, ``bridge``, ``local``); ``table`` puts them together for the documents and for
``otel-helicone doctor``.
"""
