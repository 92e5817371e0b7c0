"""OTLP/HTTP: requests and answers in protobuf and in JSON.

By the OTLP specification, 1.x: a JSON request is the protobuf message in protobuf's JSON form, save
that trace ids and span ids are in hexadecimal, and enums are numbers; unknown fields are ignored;
an answer has the content type of its request, and a failure is a ``google.rpc.Status``.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

__all__ = ["JSON", "PROTOBUF", "BadRequest", "answer", "decode", "failure"]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

# Deeper ones are nobody's telemetry, and protobuf's own limit is the same.
_DEEPEST: Final = 100
_INVALID_ARGUMENT: Final = 3


class BadRequest(ValueError):
    """The body can't be read; the message says why, and never what is in it."""


def decode(body: bytes, content_type: str) -> ExportTraceServiceRequest:
    """Read a request for ``/v1/traces``.

    Args:
        body: the body, decompressed.
        content_type: :data:`PROTOBUF` or :data:`JSON`.

    Raises:
        BadRequest: for a body that is not one.
    """
    try:
        if content_type == PROTOBUF:
            return ExportTraceServiceRequest.FromString(body)
        document = json.loads(body)
        if b"\\ud" in body.lower():
            # JavaScript cuts texts between the halves of a surrogate pair, which are no characters.
            text = json.dumps(document, ensure_ascii=False)
            document = json.loads(text.encode("utf-8", "replace"))
        if not isinstance(document, dict):
            raise BadRequest("the JSON is not an object")
        _use_base64(document, 0)
        return json_format.ParseDict(
            document,
            ExportTraceServiceRequest(),
            ignore_unknown_fields=True,
            max_recursion_depth=_DEEPEST,
        )
    except DecodeError:
        raise BadRequest("the body is no ExportTraceServiceRequest in protobuf") from None
    except json_format.ParseError:
        raise BadRequest("the JSON is no ExportTraceServiceRequest") from None
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise BadRequest("the body is not JSON") from None
    except (ValueError, TypeError, AttributeError, SystemError) as error:
        # What protobuf raises for values of wrong types, by its version; SystemError for names with
        # a half of a surrogate pair.
        if isinstance(error, BadRequest):
            raise
        raise BadRequest("the JSON has values of wrong types") from None


_IDS: Final = frozenset(
    {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}
)
_HOLDERS: Final = (
    "resourceSpans",
    "scopeSpans",
    "spans",
    "links",
    "resource_spans",
    "scope_spans",
)


def _use_base64(holder: dict[str, Any], depth: int) -> None:
    """Turn the hexadecimal ids into base64, which is what protobuf's JSON form has."""
    for name, value in holder.items():
        if name in _IDS:
            if value is None:
                continue
            if not isinstance(value, str):
                raise BadRequest("an id is no text")
            try:
                holder[name] = base64.b64encode(binascii.unhexlify(value)).decode("ascii")
            except (ValueError, binascii.Error):
                # Not refused as a whole for the one: it is counted with the spans without ids.
                holder[name] = ""
        elif name in _HOLDERS and isinstance(value, list) and depth < len(_HOLDERS):
            for item in value:
                if isinstance(item, dict):
                    _use_base64(item, depth + 1)


def answer(rejected: int, reason: str, content_type: str) -> bytes:
    """Write the answer to a request that was taken, maybe in part.

    Args:
        rejected: how many spans can't be used.
        reason: why; empty where all can.
        content_type: that of the request.
    """
    response = ExportTraceServiceResponse()
    if rejected:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = reason
    return _written(response, content_type)


def failure(reason: str, content_type: str) -> bytes:
    """Write the answer to a request that was not taken.

    Args:
        reason: why.
        content_type: that of the request; JSON for any that is not known.
    """
    return _written(Status(code=_INVALID_ARGUMENT, message=reason), content_type)


def _written(message: Message, content_type: str) -> bytes:
    if content_type == PROTOBUF:
        return message.SerializeToString()
    return json.dumps(json_format.MessageToDict(message)).encode("utf-8")
