"""TLS for both protocols: who sees which certificate, also after it was replaced."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from pathlib import Path

import grpc
import httpx2
import pytest

from otel_helicone.bridge import bridge as bridge_module
from otel_helicone.local.server import LocalHelicone
from otel_helicone.settings.bridge import make_bridge_settings
from otel_helicone.settings.reading import SettingError
from tests.bridge.conftest import (
    PROTOBUF,
    MakeBridge,
    RunningBridge,
    Service,
    call,
    exporting,
    otlp,
    rows_of,
)
from tests.bridge.test_http_receiver import LOCAL

openssl = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(openssl is None, reason="openssl makes the certificates")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for this machine, signed by its own key."""
    assert openssl is not None
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate)]
    command += ["-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def export(bridge: RunningBridge, trusted: Path, body: bytes) -> None:
    credentials = grpc.ssl_channel_credentials(trusted.read_bytes())
    with grpc.secure_channel(bridge.grpc_address, credentials) as channel:
        exporting(channel)(body, timeout=10)


def post(bridge: RunningBridge, trusted: Path, body: bytes) -> int:
    context = ssl.create_default_context(cafile=trusted)
    url = f"{bridge.url}/v1/traces"
    return httpx2.post(url, content=body, headers=PROTOBUF, verify=context).status_code


@needs_openssl
def test_both_protocols_come_through_tls_and_not_without(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, "one")
    call(service.tracer)
    call(service.tracer)
    first, second = service.take()
    with make_bridge(grpc_port=0, tls_cert=str(cert), tls_key=str(key)) as bridge:
        assert bridge.url.startswith("https://")
        assert post(bridge, cert, otlp(first)) == 200
        export(bridge, cert, otlp(second))
        assert len(rows_of(helicone, 2)) == 2
        with pytest.raises(httpx2.TransportError):
            httpx2.get(bridge.url.replace("https", "http") + "/healthz")
        with pytest.raises(grpc.RpcError) as caught:
            bridge.export(b"")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def until_trusted(bridge: RunningBridge, trusted: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert post(bridge, trusted, b"") == 200
            export(bridge, trusted, b"")
            return
        except (httpx2.TransportError, grpc.RpcError):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@needs_openssl
def test_a_certificate_that_is_replaced_is_used_without_a_restart(
    make_bridge: MakeBridge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bridge_module, "_SECONDS_BETWEEN_FILE_LOOKS", 0.05)
    cert, key = certificate(tmp_path, "in-use")
    other_cert, other_key = certificate(tmp_path, "other")
    old = tmp_path / "old.crt"
    shutil.copy(cert, old)
    with make_bridge(grpc_port=0, tls_cert=str(cert), tls_key=str(key)) as bridge:
        until_trusted(bridge, old)
        # The certificate comes before its key: the old ones stay until both are there.
        other_cert.replace(cert)
        deadline = time.monotonic() + 30
        while not caplog.records:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "The one before stays in use until it can" in caplog.records[0].getMessage()
        until_trusted(bridge, old)
        other_key.replace(key)
        until_trusted(bridge, cert)
        with pytest.raises(httpx2.TransportError):
            post(bridge, old, b"")
        with pytest.raises(grpc.RpcError):
            export(bridge, old, b"")


def test_a_certificate_and_its_key_are_given_together(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^tls_cert=.* give --tls-key or HELICONE_BRIDGE_TLS_K"):
        make_bridge_settings(tls_cert="a.crt", environ=LOCAL)
    environ = {**LOCAL, "HELICONE_BRIDGE_TLS_KEY": "a.key"}
    with pytest.raises(SettingError, match=r"^HELICONE_BRIDGE_TLS_KEY=.* give --tls-cert or"):
        make_bridge_settings(environ=environ)


def test_a_certificate_that_cant_be_used_fails_at_the_start(
    make_bridge: MakeBridge, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.crt"
    wrong.write_text("no certificate")
    for path in (wrong, tmp_path / "missing.crt", tmp_path):
        with pytest.raises(SettingError, match="give a certificate and its key without a passphr"):
            with make_bridge(tls_cert=str(path), tls_key=str(wrong)):
                pass


def test_tls_alone_lets_nobody_in_beyond_this_machine() -> None:
    with pytest.raises(SettingError, match="set HELICONE_BRIDGE_TOKEN"):
        make_bridge_settings(host="0.0.0.0", tls_cert="a", tls_key="b", environ=LOCAL)
