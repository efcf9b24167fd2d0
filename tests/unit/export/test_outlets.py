"""Each outlet delivers over real sockets, and says so where it cannot."""

import hashlib
import hmac
import json
import socket
import stat
from pathlib import Path

import pytest
from tests.unit.export.receivers import webhook
from tests.unit.export.test_ocsf import FOUND
from tests.unit.plane.bench import FakeClock

from meshwarden.adapters.export import JsonLinesFile, Syslog, Webhook, parse_receiver
from meshwarden.adapters.export.syslog import render_syslog
from meshwarden.adapters.ocsf import render_detection, uid_of
from meshwarden.identity import Secret
from meshwarden.kernel import ConfigError, DependencyError, Finding, Severity


async def no_pause(_: float) -> None:
    """Wait for nothing."""


async def test_a_file_gets_one_event_a_line_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "findings.ocsf.jsonl"
    outlet = JsonLinesFile(path)
    await outlet.deliver(FOUND)
    await outlet.deliver(FOUND)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        render_detection(FOUND)
    ] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DependencyError):
        await JsonLinesFile(tmp_path / "missing" / "file").deliver(FOUND)


async def test_a_receiver_can_prove_who_sent_an_event() -> None:
    with webhook() as hook:
        outlet = Webhook(hook.url, secret=Secret("shared"), clock=FakeClock(), pause=no_pause)
        await outlet.deliver(FOUND)
        await outlet.close()
    [(headers, body)] = hook.requests
    assert json.loads(body) == render_detection(FOUND)
    assert headers["x-meshwarden-delivery"] == uid_of(FOUND)
    moment, _, given = headers["x-meshwarden-signature"].partition(",v1=")
    signed = moment.removeprefix("t=").encode() + b"." + body
    assert hmac.compare_digest(given, hmac.new(b"shared", signed, hashlib.sha256).hexdigest())


async def test_a_webhook_is_tried_again_and_then_has_it_once() -> None:
    with webhook(503, 429) as hook:
        outlet = Webhook(hook.url, secret=None, clock=FakeClock(), pause=no_pause)
        await outlet.deliver(FOUND)
        await outlet.close()
    assert len(hook.requests) == 3
    assert "x-meshwarden-signature" not in hook.requests[0][0]


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_what_a_webhook_refuses_for_good_is_not_called_delivered(status: int) -> None:
    with webhook(*[status] * 10) as hook:
        outlet = Webhook(hook.url, secret=None, clock=FakeClock(), pause=no_pause)
        with pytest.raises(DependencyError, match=f"HTTP {status}"):
            await outlet.deliver(FOUND)
        await outlet.close()
    assert len(hook.requests) == 5


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@siem.example/", "https://:hunter2@siem.example/", "https://@siem.example/hunter2",
        "https://siem.example:hunter2/", "https://siem.example:65536/hunter2", "https://[siem/hunter2",
        "https:///hunter2", "ftp://siem.example/hunter2", "hunter2", "",
    ],
)  # fmt: skip
def test_a_webhook_address_that_is_none_or_has_credentials_is_refused_and_not_repeated(
    url: str,
) -> None:
    with pytest.raises(ConfigError) as refusal:
        Webhook(url, secret=None, clock=FakeClock())
    assert "hunter2" not in str(refusal.value)


def test_a_syslog_message_follows_rfc_5424() -> None:
    message = render_syslog(FOUND, host="bank 1")
    head, _, body = message.partition(b" {")
    assert head == (b"<107>1 2026-11-23T16:02:05.123456Z bank?1 meshwarden - behaviour.topology -")
    assert json.loads(b"{" + body) == render_detection(FOUND)


def test_a_strange_subject_cannot_break_a_syslog_line() -> None:
    strange = Finding(
        time=0, code="a\nb", subject="x\ny\x00\u2028", severity=Severity.LOW, sentence="é\r\n<13>"
    )
    message = render_syslog(strange, host="h")
    assert all(32 <= octet < 127 for octet in message)


async def test_syslog_over_udp_is_one_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        outlet = Syslog(parse_receiver(f"udp://127.0.0.1:{receiver.getsockname()[1]}"), host="h")
        await outlet.deliver(FOUND)
        assert receiver.recv(65_536) == render_syslog(FOUND, host="h")
        await outlet.close()


async def test_syslog_over_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        receiver.settimeout(30)
        outlet = Syslog(parse_receiver(f"unix://{tmp_path}/log"), host="h")
        await outlet.deliver(FOUND)
        assert receiver.recv(65_536) == render_syslog(FOUND, host="h")
        await outlet.close()


async def test_syslog_over_tcp_counts_octets_and_connects_again() -> None:
    expected = render_syslog(FOUND, host="h")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        outlet = Syslog(parse_receiver(f"tcp://127.0.0.1:{server.getsockname()[1]}"), host="h")
        for _ in range(2):
            await outlet.deliver(FOUND)
            with server.accept()[0] as end, end.makefile("rb") as stream:
                assert stream.read(4 + len(expected)) == b"%d " % len(expected) + expected
            await outlet.close()


async def test_nobody_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DependencyError):
        await Syslog(parse_receiver(f"tcp://127.0.0.1:{port}")).deliver(FOUND)


@pytest.mark.parametrize(
    "text", ["", "siem.example", "udp://", "unix://", "udp://h:99999", "x://h"]
)
def test_no_receiver_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_receiver(text)
