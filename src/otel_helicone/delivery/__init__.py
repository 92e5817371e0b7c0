"""Delivery of ready-made HTTP bodies to Helicone: many at once, in time, never in the way."""

from __future__ import annotations

from otel_helicone.delivery.delivery import Delivery, Outcome
from otel_helicone.delivery.post import Post
from otel_helicone.delivery.verdict import Judgement, Verdict, judge_log, judge_score

__all__ = ["Delivery", "Judgement", "Outcome", "Post", "Verdict", "judge_log", "judge_score"]
