"""``python -m otel_helicone``, the same as the command ``otel-helicone``."""

import sys

from otel_helicone.start import main

__all__: list[str] = []

sys.exit(main())
