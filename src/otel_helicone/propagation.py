"""The propagator: hands the session to the next service, and takes it from the one before."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from otel_helicone.primitives.attribute_names import (
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
)
from otel_helicone.primitives.escaping import escape_session_id, escape_value, split_path
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.primitives.path import Path
from otel_helicone.session_context.current import SessionContext, resolve
from otel_helicone.session_context.remote import RemoteSession, with_remote
from otel_helicone.settings.in_use import settings_in_use

__all__ = ["HeliconePropagator"]

_HEADER: Final = "helicone-session"
# Id, path and name at their longest, each character percent-encoded; what is longer is not ours.
_MAX_LENGTH: Final = 8192
_MEMBERS: Final = ("id", "path", "name")
_IN_BAGGAGE: Final = (HELICONE_SESSION_ID, HELICONE_SESSION_PATH, HELICONE_SESSION_NAME)
# Characters of a value that need no encoding between the commas and equals signs of the header.
_SAFE: Final = "/-._~:@!$&'()*+"


class HeliconePropagator(TextMapPropagator):
    """Carries the session from service to service, so that they draw one tree.

    Configured as a propagator beside ``tracecontext``, it sends one header,

        helicone-session: id=<id>,path=<path>,name=<name>

    with percent-encoded values, along with every request that OpenTelemetry's instrumentations
    propagate to, whatever host that is. Coming in, it is read in the same form, else from the W3C
    baggage members ``helicone.session.id``, ``.path`` and ``.name``, which services in other
    languages can set. What lacks any of the three, or holds what this library would not send, is
    ignored as a whole. The paths of the next service continue from the path that came in.

    Example::

        from opentelemetry.propagate import set_global_textmap
        from opentelemetry.propagators.composite import CompositePropagator

        set_global_textmap(
            CompositePropagator([TraceContextTextMapPropagator(), HeliconePropagator()])
        )

    Without code: ``OTEL_PROPAGATORS=tracecontext,baggage,helicone``.
    """

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Take the session out of what came in; never raises.

        Args:
            carrier: what came in, such as the headers of a request.
            context: the context to add to; the current one by default.
            getter: reads the carrier.

        Returns:
            A context in which spans continue the session, if there is one.
        """
        within = get_current() if context is None else context
        try:
            values = getter.get(carrier, _HEADER)
            if values:
                # A header that came twice says two things: ignored, like all that is malformed.
                remote = _from_header(values[0]) if len(values) == 1 else None
            else:
                remote = _from_baggage(carrier, within, getter)
            return within if remote is None else with_remote(remote, within)
        except Exception:
            log_failure_once("reading the session that came in")
            return within

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Put the session of this moment on what goes out; never raises.

        Args:
            carrier: what goes out, such as the headers of a request.
            context: the context to take the session from; the current one by default.
            setter: writes to the carrier.
        """
        try:
            current = _session_in(context)
            if current is not None and current.name is not None:
                texts = (current.id, current.path, current.name)
                pairs = zip(_MEMBERS, texts, strict=True)
                header = ",".join(f"{member}={quote(text, safe=_SAFE)}" for member, text in pairs)
                setter.set(carrier, _HEADER, header)
        except Exception:
            log_failure_once("handing the session to the next service")

    @property
    def fields(self) -> set[str]:
        """The header that is set."""
        return {_HEADER}


def _session_in(context: Context | None) -> SessionContext | None:
    settings = settings_in_use()
    if context is None:
        return resolve(trace.get_current_span(), settings, for_request=True)
    # Blocks, and what came in, are looked for in the current context.
    token = attach(context)
    try:
        return resolve(trace.get_current_span(), settings, for_request=True)
    finally:
        detach(token)


def _from_header(header: str) -> RemoteSession | None:
    if len(header) > _MAX_LENGTH:
        return None
    found: dict[str, str] = {}
    for pair in header.split(","):
        member, equals, value = pair.strip().partition("=")
        if not equals or member in found:
            return None
        found[member] = unquote(value, errors="strict")
    return _checked(*(found.get(member) for member in _MEMBERS))


def _from_baggage(
    carrier: CarrierT, context: Context, getter: Getter[CarrierT]
) -> RemoteSession | None:
    told = baggage.get_all(context)
    if HELICONE_SESSION_ID not in told:
        if not getter.get(carrier, "baggage"):
            return None
        # The baggage propagator may come after this one, or not be configured.
        told = baggage.get_all(W3CBaggagePropagator().extract(carrier, Context(), getter))
    return _checked(*(_with_spaces(told.get(member)) for member in _IN_BAGGAGE))


def _with_spaces(value: object) -> object:
    # OpenTelemetry for Python writes a space in the baggage as "+", which other languages take for
    # what it is (opentelemetry-python#5566). So who sets the members writes "%20" instead.
    return value.replace("%20", " ") if isinstance(value, str) else value


def _checked(session_id: object, path: object, name: object) -> RemoteSession | None:
    """Take what is in the form that this library sends, and nothing else."""
    if not (isinstance(session_id, str) and isinstance(path, str) and isinstance(name, str)):
        return None
    if escape_session_id(session_id) != session_id or escape_value(name) != name:
        return None
    parsed = Path.of(split_path(path))
    return RemoteSession(session_id, parsed, name) if parsed.text == path else None
