"""Runs in every Python that ``otel-helicone run`` has started, before the program does."""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _run_the_one_behind() -> None:
    """Run the ``sitecustomize`` that Python would have found without this one."""
    others = [path for path in sys.path if Path(path).resolve() != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _begin() -> None:
    # Programs that are started from here until the end of this would come here again. The variable
    # stays, for old releases of OpenTelemetry read it without a look whether it is there.
    python_path = os.environ.get("PYTHONPATH")
    paths = (python_path or "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in paths if path and Path(path).resolve() != _HERE
    )
    try:
        try:
            from otel_helicone.registration.provisional import begin
        except ImportError:
            sys.stderr.write(
                f"otel-helicone run: {sys.executable} has no otel-helicone, so this program has no"
                " sessions of its own; run it with the Python that otel-helicone is installed in.\n"
            )
            return
        begin()
    finally:
        if python_path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = python_path


_run_the_one_behind()
_begin()
