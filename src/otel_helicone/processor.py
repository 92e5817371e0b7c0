"""The span processor: keeps the ancestry of open spans, and turns injection on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor

from otel_helicone.injection import activation
from otel_helicone.log_once import log_failure_once, warn_once
from otel_helicone.session_context import blocks, finished, remote
from otel_helicone.session_context.ancestry import (
    SpanNode,
    forget,
    keep_texts,
    node_around,
    note_child,
    open_spans,
)
from otel_helicone.session_context.segments import SegmentRule
from otel_helicone.session_context.stamping import restamp, stamp_at_start
from otel_helicone.session_context.texts import block_of
from otel_helicone.settings import SessionIdFormat, make_settings

__all__ = ["HeliconeSpanProcessor"]


class HeliconeSpanProcessor(SpanProcessor):
    """Gives a traced application Helicone sessions.

    Registered with a tracer provider, it makes every call to a Helicone gateway that an HTTP
    client of ``httpx2`` or ``httpx`` sends, the openai client's for one, carry
    ``Helicone-Session-Id``, ``-Path`` and ``-Name``: the trace is the session, the ancestry of the
    current span is the path, the root span is the name. Headers that the caller set stay.

    Example::

        provider = TracerProvider()
        provider.add_span_processor(HeliconeSpanProcessor())

    Each argument may be given by an environment variable instead; the argument wins.

    Args:
        gateway_hosts: hosts that session headers are sent to besides ``helicone.ai``,
            ``hconeai.com`` and their subdomains: ``host``, ``host:port``, or ``*.host`` for its
            subdomains. ``HELICONE_GATEWAY_HOSTS``, separated by commas.
        inject: whether headers are put on requests at all; True by default. ``HELICONE_INJECT``.
        session_id_format: how a trace id becomes a session id: ``"hex"`` (the default; 32 digits,
            as tracing backends show it) or ``"uuid"``. ``HELICONE_SESSION_ID_FORMAT``.
        session_id_attributes: span attributes that may supply the session id, the first found on
            the current span or its nearest ancestor, such as ``["gen_ai.conversation.id"]``; none
            by default. ``HELICONE_SESSION_ID_ATTRIBUTES``.
        user_id_attributes: span attributes that supply ``Helicone-User-Id`` likewise;
            ``["user.id", "enduser.id"]`` by default, none with ``[]``.
            ``HELICONE_USER_ID_ATTRIBUTES``.
        properties: custom properties for every request, such as ``{"env": "production"}``.
            ``HELICONE_PROPERTIES``, as ``name=value`` pairs with commas between them.
        property_attributes: span attributes that become custom properties: their names, or a
            mapping of their names to the properties' names. ``HELICONE_PROPERTY_ATTRIBUTES``, as
            names or ``attribute=property`` pairs.
        segment: a function that gives a span's segment of the path, or None for a span that adds
            none; :func:`otel_helicone.default_segment` by default. It is called with open spans,
            maybe more than once, and has to be quick. ``HELICONE_SEGMENT``, as
            ``package.module:function``.
        stamp: whether the session context is written on spans as ``helicone.session.id``, ``.path``
            and ``.name``; True by default. ``HELICONE_STAMP``.
        gateway: whether calls of unchanged clients to OpenAI, Anthropic, Azure OpenAI and other
            providers are sent through the Helicone gateway that serves them, with
            ``Helicone-Auth`` added there; or the address of a gateway of your own. False by
            default: prompts go through Helicone then, and each call by way of it.
            ``HELICONE_GATEWAY``.
        gateway_fallback: whether a call goes to the provider itself, once, where the gateway can't
            be reached at all; False by default. ``HELICONE_GATEWAY_FALLBACK``.
        api_key: the Helicone key, which only routing needs. ``HELICONE_API_KEY``.

    Raises:
        SettingError: for a value that can't be used; nothing else here ever raises.
    """

    def __init__(
        self,
        *,
        gateway_hosts: Iterable[str] | None = None,
        inject: bool | None = None,
        session_id_format: SessionIdFormat | None = None,
        session_id_attributes: Iterable[str] | None = None,
        user_id_attributes: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        property_attributes: Mapping[str, str] | Iterable[str] | None = None,
        segment: SegmentRule | None = None,
        stamp: bool | None = None,
        gateway: bool | str | None = None,
        gateway_fallback: bool | None = None,
        api_key: str | None = None,
    ) -> None:
        self._settings = make_settings(
            gateway_hosts=gateway_hosts,
            inject=inject,
            session_id_format=session_id_format,
            session_id_attributes=session_id_attributes,
            user_id_attributes=user_id_attributes,
            properties=properties,
            property_attributes=property_attributes,
            segment=segment,
            stamp=stamp,
            gateway=gateway,
            gateway_fallback=gateway_fallback,
            api_key=api_key,
        )
        self._stamp = self._settings.stamp
        limit = SpanLimits().max_span_attributes
        self._attribute_limit = 2**31 if limit is None else limit
        activation.activate(self, self._settings)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Link the span to its parent, and stamp it. Called by the SDK; never raises."""
        # Written flat and without a call more than needed: this runs for every span of the
        # application. A SpanContext is a tuple, whose items cost a third of its properties.
        try:
            context = span.context
            span_id = context[1]
            if span_id in open_spans and open_spans[span_id]() is span:
                return  # another processor of this package has seen the span already
            node = SpanNode(span, forget)
            node.context = context
            node.texts = None
            parent = span.parent
            if parent is None or parent[2]:  # a root, or below another service's span
                node.parent = None
                node.settings = self._settings
                if remote.in_use:
                    node.remote = remote.remote_in(parent_context)
            else:
                try:
                    node.parent = above = open_spans[parent[1]]
                except KeyError:  # unsampled, let go of, or of another provider
                    around = node_around(trace.get_current_span(parent_context))
                    node.parent = around
                    if around is None:
                        node.settings = self._settings
                    elif around.texts is None:
                        note_child(around, self._settings)
                else:
                    if above.texts is None:
                        note_child(above, self._settings)
            open_spans[span_id] = node
            if blocks.in_use:
                # A span that starts inside a block belongs to it, also with an explicit parent
                # from outside: so do the requests that are sent below it.
                block = blocks.block_in(parent_context)
                if block is None and parent_context is not None:
                    block = blocks.block_in(None)
                if block is None and node.parent is not None:
                    block = block_of(node.parent)
                node.block = block
            if self._stamp:
                stamp_at_start(node, span, self._settings, self._attribute_limit)
        except Exception:
            log_failure_once("starting a span")

    def _on_first_start_after_shutdown(
        self, span: Span, parent_context: Context | None = None
    ) -> None:
        # Its spans stay in the paths of those of other providers.
        self.__dict__.pop("on_start", None)
        warn_once(
            "after-shutdown",
            "A HeliconeSpanProcessor that was shut down still sees spans. It puts no headers on "
            "requests any more; to use it with another provider, make a new one.",
        )
        self.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Keep what spans below this one may need. Called by the SDK; never raises."""
        try:
            node = open_spans[span.context[1]]
            texts = node.texts
            # The span itself, where it is still there: a wrapper around processors, as Logfire's
            # scrubbing one, hands on a copy in which even the stamps may say something else.
            ended = node() or span
            if texts is not None and texts.outlived and keep_texts(node, ended, self._settings):
                restamp(texts.root or node)
            if finished.is_wanted():
                finished.keep(node, ended, self._settings)
        except KeyError:
            pass  # started before the processor was there
        except Exception:
            log_failure_once("ending a span")

    def shutdown(self) -> None:
        """Turn injection off, if this was the last processor that had it on."""
        try:
            activation.deactivate(self)
            # In place of the method, so that a processor in use need not look for a flag.
            self.__dict__["on_start"] = self._on_first_start_after_shutdown
        except Exception:
            log_failure_once("shutting down")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: nothing is held back.

        Returns:
            True.
        """
        return True
