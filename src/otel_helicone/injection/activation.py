"""Injection on and off, with the processors that ask for it."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from otel_helicone.ambient_spans.adapter import use_when_imported
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.settings import in_use
from otel_helicone.settings.processor import ProcessorSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

__all__ = ["activate", "deactivate"]

# The modules whose classes are instrumented, each with the module of this folder that does it:
# imported when a processor asks for it and the other is there, not with the package.
_INSTALLERS: Final = {
    "httpx2": "httpx_clients",
    "httpx": "httpx_clients",
    "urllib3.connectionpool": "urllib3_pools",
    "requests.sessions": "requests_sessions",
    "aiohttp.client": "aiohttp_sessions",
    "lm15.transports": "lm15_transports",
    "dspy._vendor.lm15.transports": "lm15_transports",
    "websockets.client": "websockets",
    "websockets.asyncio.client": "websockets",
}

_lock = threading.RLock()
_waiting_for_imports = False


def _renew_lock_after_fork() -> None:
    # Another thread of the parent process may have held it at the moment of the fork.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_lock_after_fork)


def activate(processor: SpanProcessor, settings: ProcessorSettings) -> None:
    """Note a processor as in use; turn injection on if it asks for it and it is not on yet.

    Clients that are imported already are instrumented now, the others when they are imported.

    Args:
        processor: the processor; it is not kept alive.
        settings: its settings.
    """
    with _lock:
        in_use.add(processor, settings)
        use_when_imported()
        if settings.inject:
            for name in _INSTALLERS:
                # None stands for a module whose import was blocked.
                if sys.modules.get(name) is not None:
                    _install(name)
            _wait_for_imports()


def deactivate(processor: SpanProcessor) -> None:
    """Note a processor as shut down; turn injection off if no other asks for it."""
    with _lock:
        was_injecting = in_use.injecting()
        in_use.remove(processor)
        if was_injecting and not in_use.injecting():
            from otel_helicone.injection.replaced_methods import restore_methods

            restore_methods()


def _wait_for_imports() -> None:
    global _waiting_for_imports
    if not _waiting_for_imports:
        _waiting_for_imports = True
        # wrapt comes with opentelemetry-instrumentation; its import hooks can't be taken back, so
        # one for each module is registered for the life of the process.
        from wrapt import register_post_import_hook

        for name in _INSTALLERS:
            if name not in sys.modules:
                register_post_import_hook(_on_import, name)


def _on_import(module: ModuleType) -> None:
    # No lock: this runs inside an import, maybe one that activate() itself waits for.
    if in_use.injecting():
        _install(module.__name__)


def _install(name: str) -> None:
    try:
        # Another thread may be in the middle of importing it: this waits for it.
        module = importlib.import_module(name)
        installer: Any = importlib.import_module(f"otel_helicone.injection.{_INSTALLERS[name]}")
        installer.install(module)
    except Exception:
        log_failure_once(f"instrumenting {name}")
