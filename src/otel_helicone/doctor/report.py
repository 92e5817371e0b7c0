"""Everything that was found, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from otel_helicone.doctor.key_checked import KeyChecked, check_key
from otel_helicone.doctor.packages_found import Installed, look_around
from otel_helicone.doctor.requests_tried import UrlTried, try_url
from otel_helicone.doctor.set_ups_found import set_up_notes, set_up_problems
from otel_helicone.doctor.settings_found import (
    SettingFound,
    settings_found,
    unknown_variables,
    without_password,
)
from otel_helicone.settings.exporter import make_exporter_settings
from otel_helicone.settings.reading import SettingError

__all__ = ["Report", "examine"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the doctor says.

    Attributes:
        settings: every setting.
        installed: the packages.
        url: what became of a request to the URL; None where none was given.
        key: what the log API said about the key; None where it was not asked.
        problems: everything that is wrong.
        notes: what may not be meant.
    """

    settings: tuple[SettingFound, ...]
    installed: Installed
    url: UrlTried | None
    key: KeyChecked | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Give everything as what JSON can hold; secrets are masked."""
        return {"is_fine": self.is_fine, **asdict(self)}


def examine(environ: Mapping[str, str], url: str | None, *, check: bool) -> Report:
    """Look at everything.

    Args:
        environ: the environment variables.
        url: a URL to try, if any.
        check: whether to ask the log API about the key.
    """
    settings = tuple(settings_found(environ))
    installed = look_around(environ)
    tried = None if url is None else try_url(url)
    key = _check(environ) if check else None
    problems = [setting.problem for setting in settings if setting.problem]
    problems += installed.problems
    problems += set_up_problems(environ)
    if tried is not None and not tried.gets_headers:
        problems.append(f"a call to {without_password(tried.url)} gets no session headers")
    if key is not None and not key.is_good:
        problems.append(f"nothing can be logged to {key.endpoint}: {key.said}")
    notes = [*unknown_variables(environ), *installed.notes, *set_up_notes(environ)]
    if not environ.get("HELICONE_API_KEY", "").strip():
        notes.append(
            "HELICONE_API_KEY is not set: nothing is logged to Helicone, and a gateway call needs"
            " its own Helicone-Auth header"
        )
    return Report(
        settings=settings,
        installed=installed,
        url=None
        if tried is None
        else UrlTried(
            url=without_password(tried.url), gets_headers=tried.gets_headers, why=tried.why
        ),
        key=key,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _check(environ: Mapping[str, str]) -> KeyChecked:
    try:
        settings = make_exporter_settings({}, environ)
    except SettingError:
        said = "a setting can't be used"
        return KeyChecked(endpoint="the log API", is_good=False, said=said)
    if settings.api_key is None:
        said = "there is no key to ask about; set HELICONE_API_KEY"
        return KeyChecked(endpoint=settings.endpoint, is_good=False, said=said)
    return check_key(settings.endpoint, settings.api_key)
