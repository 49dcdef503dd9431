"""Nothing is sent into the network of the server, however its address is written or resolved."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.core import network
from app.core.network import is_public
from app.webhooks import sending
from app.webhooks.sending import Outcome, send
from tests.app.webhooks.receiver import Receiver, answer


def post(url: str, *, timeout_s: float = 10, allow_private: bool = True) -> Outcome:
    return send(url, {"x-test": "1"}, b"{}", timeout_s=timeout_s, allow_private=allow_private)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "::7f00:1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::"),
    ],
)
def test_addresses_that_are_not(address: str):
    assert not is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]"])
def test_nothing_reaches_this_machine(receiver: Receiver, host: str):
    outcome = post(f"http://{host}:{receiver.port}/", allow_private=False)
    assert outcome.status_code is None
    assert receiver.received.empty()


def test_a_host_with_one_private_address_among_others(receiver: Receiver, monkeypatch: pytest.MonkeyPatch):
    def resolve(_: str, port: int, **__: Any) -> list[Any]:
        addresses = [("8.8.8.8", port), ("127.0.0.1", receiver.port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(network.socket, "getaddrinfo", resolve)
    outcome = post(f"http://both.test:{receiver.port}/", allow_private=False)
    assert outcome.error == "both.test has an address that is not public"


def test_the_address_that_was_checked_is_the_one_that_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    """A name that resolves to another address the second time leads nowhere: there is no second time."""
    resolved = []

    def resolve(host: str, port: int, **__: Any) -> list[Any]:
        resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(network.socket, "getaddrinfo", lambda h, p, *a, **k: resolve(h, p))
    monkeypatch.setattr(network, "is_public", lambda _: True)
    outcome = post(f"http://changing.test:{receiver.port}/x?y=z", allow_private=False)
    received = receiver.next()
    assert (outcome.status_code, received.path) == (204, "/x?y=z")
    assert received.headers["host"] == f"changing.test:{receiver.port}"
    assert [host for host in resolved if host != "127.0.0.1"] == ["changing.test"]


def test_redirects_are_failures(receiver: Receiver):
    receiver.answer = answer(307, location=f"http://127.0.0.1:{receiver.port}/other")
    outcome = post(receiver.url)
    assert (outcome.status_code, outcome.is_delivered) == (307, False)
    receiver.next()
    assert receiver.received.empty()


def test_an_answer_without_end_is_read_to_its_bound(receiver: Receiver):
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    receiver.answer = endless
    outcome = post(receiver.url)
    assert (outcome.status_code, outcome.answer) == (200, "x" * 1024)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\n\r\nb"])
def test_a_receiver_that_is_slow_or_sends_byte_by_byte(receiver: Receiver, part: bytes):
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(part)
        while not over.wait(0.01):
            handler.wfile.write(b"x" if part else b"")

    receiver.answer = drip
    try:
        outcome = post(receiver.url, timeout_s=0.2)
    finally:
        over.set()
    if part.endswith(b"b"):
        assert outcome.status_code == 200, "the status is what counts"
    else:
        assert (outcome.status_code, outcome.error) == (None, "ReadTimeout: timed out")


def test_nobody_there():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert "refused" in (post(f"http://127.0.0.1:{port}/").error or "")
    assert "cannot be resolved" in (post("http://nobody.invalid/").error or "")


@pytest.fixture
def secure_receiver(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """With TLS and a certificate for receiver.test, which is trusted; all names lead to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("receiver.test")])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    receiver.secure(serving)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    monkeypatch.setattr(sending, "ssl_context", lambda: trusting)

    def resolve(_: str, port: int, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(network.socket, "getaddrinfo", lambda h, p, *a, **k: resolve(h, p))
    return receiver


def test_a_certificate_is_checked_for_the_name_and_not_the_address(secure_receiver: Receiver):
    port = secure_receiver.port
    assert post(f"https://receiver.test:{port}/").status_code == 204
    assert "CERTIFICATE_VERIFY_FAILED" in (post(f"https://other.test:{port}/").error or "")
