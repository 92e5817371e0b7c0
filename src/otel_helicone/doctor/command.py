"""Runs the command ``otel-helicone doctor``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from otel_helicone.doctor.printing import explanation, text_of
from otel_helicone.doctor.report import examine
from otel_helicone.doctor.requests_tried import is_url

__all__ = ["doctor", "explain"]


def explain() -> int:
    """Print what is logged of set-ups that can't work, each with the line that mends it.

    Returns:
        The exit code, 0.
    """
    sys.stdout.write(explanation())
    return 0


def doctor(url: str | None = None, *, check: bool = False, as_json: bool = False) -> int:
    """Print what is in effect and what is wrong.

    Args:
        url: a URL to say of whether a call to it gets session headers.
        check: whether to ask the log API about the key.
        as_json: whether to print JSON.

    Returns:
        The exit code: 0 where nothing is wrong, 1 where something is, 2 for a URL that is none.
    """
    if url is not None and not is_url(url):
        sys.stderr.write(
            f"otel-helicone doctor: {url!r} is not a URL; give one such as"
            " https://oai.helicone.ai/v1\n"
        )
        return 2
    # Functions that settings name are looked for where the application would be started.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    # The report says what the library would log.
    quiet = logging.NullHandler()
    logger = logging.getLogger("otel_helicone")
    logger.addHandler(quiet)
    try:
        report = examine(os.environ, url, check=check)
    finally:
        logger.removeHandler(quiet)
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    else:
        sys.stdout.write(text_of(report))
    return 0 if report.is_fine else 1
