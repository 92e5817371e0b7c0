"""Compressed requests: taken apart in full, or not at all, and never further than the limit."""

from __future__ import annotations

import gzip
import resource
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.bridge.decompression import ENCODINGS, BadCompression, TooLarge, decompress
from otel_helicone.local.server import LocalHelicone
from tests.bridge.conftest import MakeBridge, RunningBridge, Service, make_service, otlp, rows_of
from tests.bridge.test_bridge import TRIP, paths_of, trip
from tests.bridge.test_http_receiver import (
    JSON,
    PROTOBUF,
    both_forms,
    document,
    one_call,
    reason_of,
    rejected_by,
)
from tests.bridge.test_replay import as_json

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Compress = Callable[[bytes], bytes]

WAYS: dict[str, Compress] = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}
PLENTY = 10_000_000
MIB = 1024 * 1024

every_way = pytest.mark.parametrize("encoding", WAYS)
bodies = st.binary(max_size=2000)


def test_each_encoding_that_is_named_can_be_read() -> None:
    assert {*WAYS, "", "identity"} == ENCODINGS


@every_way
@given(body=bodies)
def test_what_was_compressed_comes_back(encoding: str, body: bytes) -> None:
    assert decompress(WAYS[encoding](body), encoding, PLENTY) == body


@every_way
@given(parts=st.lists(bodies, min_size=1, max_size=5))
def test_one_stream_may_follow_another(encoding: str, parts: list[bytes]) -> None:
    # Senders that compress as they read write one gzip member, or one zstd frame, after another.
    streams = b"".join(WAYS[encoding](part) for part in parts)
    assert decompress(streams, encoding, PLENTY) == b"".join(parts)


@given(body=bodies)
def test_what_is_not_compressed_is_left_alone(body: bytes) -> None:
    assert decompress(body, "", PLENTY) == decompress(body, "identity", PLENTY) == body


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_nothing_at_all_stays_nothing(encoding: str) -> None:
    assert decompress(b"", encoding, 0) == b""


@every_way
@given(body=bodies, data=st.data())
def test_a_stream_that_ends_too_soon_is_refused(encoding: str, body: bytes, data: Any) -> None:
    whole = WAYS[encoding](body)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(BadCompression):
        decompress(whole[:cut], encoding, PLENTY)


@every_way
@given(body=bodies)
def test_what_follows_a_stream_and_is_none_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(BadCompression):
        decompress(WAYS[encoding](body) + b"and something else", encoding, PLENTY)


@every_way
@given(garbage=st.binary(min_size=1, max_size=200))
def test_random_bytes_are_refused(encoding: str, garbage: bytes) -> None:
    with pytest.raises(BadCompression, match=r"."):
        decompress(garbage, encoding, PLENTY)


@every_way
@given(body=st.binary(min_size=1, max_size=2000), data=st.data())
def test_a_damaged_stream_never_gives_more_than_the_limit(
    encoding: str, body: bytes, data: Any
) -> None:
    damaged = bytearray(WAYS[encoding](body))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=5)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        assert len(decompress(bytes(damaged), encoding, 3000)) <= 3000
    except (BadCompression, TooLarge):
        pass


@pytest.mark.parametrize("encoding", [*WAYS, "", "identity"])
@given(body=st.binary(min_size=1, max_size=2000))
def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(encoding: str, body: bytes) -> None:
    compressed = WAYS[encoding](body) if encoding in WAYS else body
    assert decompress(compressed, encoding, len(body)) == body
    with pytest.raises(TooLarge):
        decompress(compressed, encoding, len(body) - 1)


@every_way
def test_the_limit_holds_for_all_streams_together(encoding: str) -> None:
    streams = WAYS[encoding](b"a" * 600) + WAYS[encoding](b"b" * 400)
    assert len(decompress(streams, encoding, 1000)) == 1000
    # An empty one may follow where the limit is reached already.
    assert len(decompress(streams + WAYS[encoding](b""), encoding, 1000)) == 1000
    with pytest.raises(TooLarge):
        decompress(streams, encoding, 999)


@every_way
def test_a_bomb_goes_off_at_the_limit(encoding: str) -> None:
    bomb = WAYS[encoding](bytes(200_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompress(bomb, encoding, 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_a_bomb_inside_a_bomb_is_taken_apart_once() -> None:
    inner = gzip.compress(bytes(10_000_000))
    assert decompress(gzip.compress(inner), "gzip", PLENTY) == inner


@every_way
def test_very_many_streams_take_no_longer_than_their_length_allows(encoding: str) -> None:
    # Each is empty, so that no limit on the result stops them.
    streams = WAYS[encoding](b"") * 200_000
    started = time.process_time()
    try:
        assert decompress(streams, encoding, PLENTY) == b""
    except BadCompression:
        pass  # so many are nobody's request
    assert time.process_time() - started < 3


def test_a_skippable_frame_of_zstd_is_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    frame = zstd.compress(b"body")
    assert decompress(skippable + frame + skippable, "zstd", PLENTY) == b"body"


def test_a_zstd_frame_that_asks_for_a_huge_window_is_refused() -> None:
    # Magic number, a frame header without a size, and a window of 2 GiB.
    header = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(31 - 10) << 3])
    with pytest.raises(BadCompression):
        decompress(header + b"\x01\x00\x00", "zstd", PLENTY)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstd.compress),
    ],
)
@both_forms
def test_each_form_in_each_encoding(
    bridge: RunningBridge,
    helicone: LocalHelicone,
    service: Service,
    form: str,
    encoding: str,
    compress: Callable[[bytes], bytes],
) -> None:
    trip(service)
    spans = service.take()
    body = as_json(spans) if form == JSON else otlp(*spans)
    answer = bridge.post(compress(body), Content_Type=form, Content_Encoding=encoding)
    assert rejected_by(answer, form) == (0, "")
    assert paths_of(rows_of(helicone, 4)) == TRIP


@both_forms
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_what_is_not_compressed_as_it_says(bridge: RunningBridge, form: str, encoding: str) -> None:
    answer = bridge.post(b"not at all", Content_Type=form, Content_Encoding=encoding)
    assert answer.status_code == 400
    assert reason_of(answer, form)


@both_forms
def test_too_large_requests(make_bridge: MakeBridge, form: str) -> None:
    text = "x" * 20_000
    span = {**one_call(), "name": text}
    body = document(span)
    if form == PROTOBUF:
        service = make_service()
        service.tracer.start_span(text).end()
        body = otlp(*service.take())
    with make_bridge(max_request_mib=len(body) / 1024 / 1024) as bridge:
        assert bridge.post(body, Content_Type=form).status_code == 200
        packed = gzip.compress(body)
        taken = bridge.post(packed, Content_Type=form, Content_Encoding="gzip")
        assert taken.status_code == 200
    with make_bridge(max_request_mib=(len(body) - 1) / 1024 / 1024) as bridge:
        for sent, encoding in ((body, "identity"), (packed, "gzip"), (zstd.compress(body), "zstd")):
            answer = bridge.post(sent, Content_Type=form, Content_Encoding=encoding)
            assert answer.status_code == 413
            assert reason_of(answer, form) == (
                f"a request may have {len(body) - 1} bytes, decompressed too"
            )
            assert "Retry-After" not in answer.headers
        # Where its length is not told before, it is found out on the way.
        url, headers = f"{bridge.url}/v1/traces", {"Content-Type": form}
        answer = httpx2.post(url, content=iter([body[:100], body[100:]]), headers=headers)
        assert answer.status_code == 413
        answer = httpx2.post(url, content=iter([b"", b"", b""]), headers=headers)
        assert answer.status_code == (200 if form == PROTOBUF else 400)


@every_way
def test_bombs_cost_the_bridge_no_more_than_the_limit(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service, encoding: str
) -> None:
    bomb = WAYS[encoding](bytes(16 * MIB)) * 32
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with make_bridge(max_request_mib=4) as bridge:
        for _ in range(4):
            assert bridge.post(bomb, Content_Encoding=encoding).status_code == 413
        trip(service)
        bridge.send(*service.take())
        assert paths_of(rows_of(helicone, 4)) == TRIP
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize(
    ("headers", "form", "reason"),
    [
        ({"Content-Type": "text/plain"}, JSON, "the Content-Type must be"),
        ({"Content-Type": ""}, JSON, "the Content-Type must be"),
        ({"Content-Encoding": "br"}, PROTOBUF, "the Content-Encoding must be"),
        ({"Content-Encoding": "gzip, gzip"}, PROTOBUF, "the Content-Encoding must be"),
    ],
)
def test_other_types_and_encodings_are_not_taken(
    bridge: RunningBridge, headers: dict[str, str], form: str, reason: str
) -> None:
    answer = bridge.post(b"", **headers)
    assert answer.status_code == 415
    assert reason_of(answer, form).startswith(reason)
