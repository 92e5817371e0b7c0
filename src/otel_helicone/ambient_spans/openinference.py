"""OpenInference: the session and the user that ``using_session`` and its like have set.

They stand in OpenTelemetry's context, and only the spans of its own instrumentations get them as
attributes; an application's own spans and its requests belong to them as well.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from otel_helicone.ambient_spans.adapter import Adapter

__all__ = ["ADAPTER"]

_MODULE: Final = "openinference.instrumentation"


def _attributes() -> Mapping[str, object]:
    module: Any = sys.modules[_MODULE]
    return dict(module.get_attributes_from_context())


ADAPTER: Final = Adapter(library="OpenInference", attributes=_attributes)
