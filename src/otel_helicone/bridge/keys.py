"""Helicone's keys by name, for spans of several organizations.

They come from the environment and from a file or folder, which is read again when it changes. They
are in memory alone: what is stored, logged and counted has the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from otel_helicone.bridge.watched_files import WatchedFiles
from otel_helicone.settings.bridge import BridgeSettings
from otel_helicone.settings.checks import key_problem
from otel_helicone.settings.reading import SettingError

__all__ = ["DEFAULT_KEY_NAME", "Keys"]

DEFAULT_KEY_NAME: Final = "default"
"""The key of spans that name none; it goes before ``HELICONE_API_KEY``."""


class Keys:
    """The keys in use. The one without a name, an empty text, is for spans that name none."""

    def __init__(self, settings: BridgeSettings) -> None:
        """Read the keys.

        Args:
            settings: see :func:`.make_bridge_settings`.

        Raises:
            SettingError: where the file can't be read.
        """
        self._fixed = _named({"": settings.exporter.api_key or "", **settings.keys})
        self._path = settings.keys_file
        self._files = WatchedFiles() if self._path is None else WatchedFiles(self._path)
        self._known = self._read()

    @property
    def source(self) -> str:
        """What to change for another key, for messages."""
        return "HELICONE_BRIDGE_KEYS" if self._path is None else str(self._path)

    @property
    def names(self) -> list[str]:
        """The names that are known."""
        return list(self._known)

    def get(self, name: str) -> str | None:
        """Return a key, None for a name that is not known."""
        return self._known.get(name)

    def hide(self, text: str) -> str:
        """Return a text without the keys; a server may repeat what it was sent."""
        for key in self._known.values():
            text = text.replace(key, "[key]")
        return text

    def renew(self) -> bool:
        """Read the file again where it has changed.

        Returns:
            Whether keys are others than before.

        Raises:
            SettingError: where it can't be read; the keys stay as they were then.
        """
        if not self._files.have_changed():
            return False
        before, self._known = self._known, self._read()
        return self._known != before

    def _read(self) -> dict[str, str]:
        if self._path is None:
            return self._fixed
        try:
            found = _of_folder(self._path) if self._path.is_dir() else _of_file(self._path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise SettingError(
                "keys_file", str(self._path), f"it can't be read: {reason}"
            ) from None
        except _WrongKey as wrong:
            raise SettingError("keys_file", str(self._path), str(wrong)) from None
        return {**self._fixed, **_named(found)}


class _WrongKey(ValueError):
    pass


def _named(keys: Mapping[str, str]) -> dict[str, str]:
    return {"" if name == DEFAULT_KEY_NAME else name: key for name, key in keys.items() if key}


def _of_file(path: Path) -> dict[str, str]:
    keys = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, key = (part.strip() for part in line.partition("="))
        # Not the line itself: it may have a key in it.
        if not name or not key:
            raise _WrongKey(f"line {number} is not `name=key`")
        if problem := key_problem(key):
            raise _WrongKey(f"the key in line {number} {problem}")
        keys[name] = key
    return keys


def _of_folder(path: Path) -> dict[str, str]:
    """Read the form that a Secret of Kubernetes has as a volume."""
    keys = {}
    for file in path.iterdir():
        if file.name.startswith(".") or not file.is_file():
            continue
        key = file.read_text("utf-8").strip()
        if problem := key_problem(key):
            raise _WrongKey(f"the key in the file {file.name} {problem}")
        keys[file.name] = key
    return keys
