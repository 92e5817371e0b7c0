"""``otel-helicone replay``: logs what is in files that the Collector wrote.

The files go through a spool, as what a bridge receives does: first as much of them as fits, so that
traces are whole, then their logs are made and sent. Up to where a file was read is stored together
with its spans, so that a second run goes on where the first one ended; and since request ids come
from the spans, to send something twice changes nothing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from otel_helicone.bridge.assembly import Assembler
from otel_helicone.bridge.keys import Keys
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.otlp import BadRequest, decode
from otel_helicone.bridge.senders import Senders
from otel_helicone.bridge.spans import arrivals_of
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import SpoolFull
from otel_helicone.bridge.telemetry_files import (
    FileError,
    StoredRequest,
    fingerprint,
    requests_in,
)
from otel_helicone.bridge.troubles import Troubles
from otel_helicone.bridge.weight import TooMuch
from otel_helicone.delivery.loop_thread import make_own_context
from otel_helicone.settings.bridge import BridgeSettings, make_bridge_settings, spool_path
from otel_helicone.settings.reading import SettingError

__all__ = ["run_replay"]

# How full the spool gets with spans, before their logs are made: these need room too.
_MAX_PART_OF_SPOOL: Final = 0.3
_SECONDS_BETWEEN_LOOKS: Final = 0.1
_SECONDS_TO_DRAIN: Final = 5.0


@dataclass(slots=True)
class _Result:
    """What a replay has come to."""

    spans: int = 0
    repeated: int = 0
    unusable: int = 0


def run_replay(files: Sequence[str], *, spool: str | None, endpoint: str | None) -> int:
    """Log what is in files; see :func:`.make_bridge_settings` for the settings.

    Args:
        files: their paths.
        spool: the file that holds what was not sent yet; None for one in the user's state folder.
        endpoint: scheme and host of Helicone's log API; None for the one of the environment.

    Returns:
        The exit code: 0 where Helicone has everything, 1 where not, 2 for a wrong setting.
    """
    path = str(spool_path(None).with_name("replay.db")) if spool is None else spool
    try:
        settings = make_bridge_settings(spool=path, endpoint=endpoint, allow_anonymous=True)
    except SettingError as error:
        return _failed(str(error), 2)
    try:
        return asyncio.run(_Replay(settings, [Path(file) for file in files]).run())
    except SettingError as error:
        return _failed(str(error), 2)
    except (SpoolError, SpoolFull, FileError) as error:
        return _failed(str(error), 1)


class _Replay:
    def __init__(self, settings: BridgeSettings, files: Iterable[Path]) -> None:
        self._settings = settings
        keys = Keys(settings)
        # Before anything is read: a name that is mistyped shows at once.
        self._files = [(path, fingerprint(path), path.stat().st_size) for path in files]
        self._spool = Spool(settings.spool, max_bytes=settings.max_spool_bytes)
        self._want_all = settings.exporter.include != "calls"
        self._assembler = Assembler(self._spool, settings)
        self._senders = Senders(self._spool, BridgeMetrics(), settings.exporter, keys, Troubles())
        self._dead_before = self._spool.counts().dead
        self._result = _Result()
        # What is left was refused, and nothing else is there that could be taken.
        self._is_stuck = False
        self._stop = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        sending = loop.create_task(self._senders.run(), context=make_own_context())
        console = Console(stderr=True)
        try:
            with Progress(
                TextColumn("{task.description:>8}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[said]}"),
                TimeRemainingColumn(),
                console=console,
                disable=not console.is_terminal,
            ) as progress:
                await self._all_files(progress)
        finally:
            await self._senders.drain(_SECONDS_TO_DRAIN)
            sending.cancel()
            await asyncio.wait([sending])
            refusal = await self._senders.give_up() if self._is_stuck else ""
            counts = self._spool.counts()
            without_key = self._senders.without_key()
            self._assembler.close()
            self._spool.close()
        return self._conclude(counts.posts, without_key, counts.dead - self._dead_before, refusal)

    def _on_signal(self) -> None:
        self._stop = True

    async def _all_files(self, progress: Progress) -> None:
        reading = progress.add_task("reading", total=sum(size for *_, size in self._files), said="")
        sending = progress.add_task("sending", total=None, said="")
        await self._send_everything(progress, sending)  # what an earlier run has left
        done = 0
        for path, source, size in self._files:
            # One reader for the whole file: to find a place in a compressed one means to read it.
            requests = requests_in(path, self._spool.progress(source))
            while not self._stop:
                position = await asyncio.to_thread(self._read, path, source, requests)
                progress.update(
                    reading,
                    completed=done + (size if position is None else min(position, size)),
                    said=f"{self._result.spans:,} spans",
                )
                if position is None:
                    break
                if self._is_full():
                    await self._send_everything(progress, sending)
            done += size
        await self._send_everything(progress, sending)

    def _is_full(self) -> bool:
        return self._spool.used_bytes() > _MAX_PART_OF_SPOOL * self._settings.max_spool_bytes

    def _read(self, path: Path, source: str, requests: Iterator[StoredRequest]) -> int | None:
        """Read on for a moment; return up to where, None where that is the end."""
        until = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        for request in requests:
            self._spool.check_room(len(request.body))
            try:
                found = decode(request.body, request.content_type)
                arrivals = list(arrivals_of(found, want_all=self._want_all))
            except (BadRequest, TooMuch) as error:
                raise FileError(
                    f"{path} has no request before byte {request.end}: {error}"
                ) from None
            usable = [arrival for arrival in arrivals if arrival is not None]
            added = self._spool.add(
                usable, self._spool.now(), self._settings.wait, progress=(source, request.end)
            )
            self._result.spans += added.stored
            self._result.repeated += added.repeated
            self._result.unusable += len(arrivals) - len(usable)
            if self._stop or time.monotonic() > until:
                return request.end
        return None

    async def _send_everything(self, progress: Progress, task: TaskID) -> None:
        """Make the logs of all spans that were read, and wait until Helicone has them."""
        total = self._spool.counts().posts
        while not self._stop:
            made = await asyncio.to_thread(
                self._assembler.step, self._spool.now(), release_all=True
            )
            total += made or 0
            self._senders.wake()
            waiting = self._spool.counts().posts
            progress.update(
                task, total=total, completed=total - waiting, said=f"{total - waiting:,} logs"
            )
            if self._senders.wrong_key is not None:
                self._stop = True
            self._is_stuck = made is None and self._senders.is_stuck(waiting)
            if self._is_stuck:
                break
            if made is None:
                if not waiting and self._senders.is_idle:
                    break
                await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        forget = self._assembler.forget
        while not self._stop and await asyncio.to_thread(forget, float("inf")) > 0:
            pass
        while not self._stop and await asyncio.to_thread(self._spool.give_back):
            pass

    def _conclude(self, waiting: int, without_key: int, dead: int, refusal: str) -> int:
        result = self._result
        unusable = f", {result.unusable:,} can't be used" if result.unusable else ""
        sys.stdout.write(
            f"{result.spans:,} spans read ({result.repeated:,} more were known{unusable}),"
            f" {self._senders.taken:,} logs sent.\n"
        )
        sys.stdout.flush()
        if self._senders.wrong_key is not None:
            return _failed(
                f"Helicone refuses the API key ({self._senders.wrong_key}): set HELICONE_API_KEY to"
                " a key that may write, and run the same command again",
                1,
            )
        if refusal:
            return _failed(
                f"Helicone, or a proxy before it, refuses what is left ({refusal});"
                f" {waiting:,} logs wait. See that HELICONE_ENDPOINT is Helicone's log API, and run"
                " the same command again.",
                1,
            )
        if without_key:
            names = ", ".join(repr(name) for name in self._senders.unknown[:10])
            return _failed(
                f"{without_key:,} logs wait for keys that are not known ({names}): set"
                " HELICONE_BRIDGE_KEYS_FILE to a file that has them, and run the same command"
                " again",
                1,
            )
        if self._stop:
            return _failed(
                f"stopped; {waiting:,} logs wait. Run the same command again to go on.", 1
            )
        if dead:
            return _failed(
                f"Helicone refuses {dead:,} logs for good; see: otel-helicone bridge dead list"
                f" --spool {self._settings.spool}",
                1,
            )
        return 0


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"otel-helicone: {message}\n")
    return code
