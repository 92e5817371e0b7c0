"""Ambient spans: the span in which the code is running, for libraries that don't make it current.

Some instrumentations keep their spans out of OpenTelemetry's context. Each such library has a small
module here that tells its span of the moment, and that is used only once the library is imported.
"""
