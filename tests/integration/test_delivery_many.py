"""The fault run of the delivery, with ten thousand posts."""

from __future__ import annotations

import pytest

from tests.test_delivery_faults import Make, make, send_through_a_bad_server

__all__ = ["make"]  # a fixture


@pytest.mark.integration
def test_ten_thousand_posts_through_a_bad_server(make: Make) -> None:
    send_through_a_bad_server(make, 10_000)
