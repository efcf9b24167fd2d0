"""No finding is lost between store and outlet, whatever is down, restarted or rotated."""

import asyncio
import dataclasses
import hashlib
import json
import socket
import threading
from pathlib import Path

import pytest
from tests.unit.export.receivers import webhook
from tests.unit.export.test_ocsf import FOUND

from meshwarden.adapters.export import Syslog, parse_receiver
from meshwarden.adapters.export.cursor import Cursor, Position, read_findings
from meshwarden.adapters.ocsf import uid_of
from meshwarden.adapters.storage.findings import FileFindingStore
from meshwarden.cli import run
from meshwarden.cli.exporting import export_once, exporting
from meshwarden.cli.outputs import Outputs
from meshwarden.control.exporting import export, keep_exporting
from meshwarden.kernel import DependencyError, Finding


class Shelf:
    """An outlet that keeps what it is given; it refuses as often as it is told to."""

    name = address = "shelf"

    def __init__(self) -> None:
        self.got: list[int] = []
        self.refusals = 0

    async def deliver(self, finding: Finding) -> None:
        if self.refusals:
            self.refusals -= 1
            raise DependencyError("test", "down", retry_after_s=0.001)
        self.got.append(finding.time)


class Bench:
    """A store, an outlet and its cursor."""

    def __init__(self, folder: Path, max_bytes: int = 2**20) -> None:
        self.path = folder / "findings.jsonl"
        self.store = FileFindingStore(self.path, max_bytes=max_bytes)
        self.cursor = Cursor(folder / "export" / "shelf.json")
        self.shelf = Shelf()

    def put(self, *times: int) -> None:
        for time in times:
            self.store.store_finding(dataclasses.replace(FOUND, time=time))

    async def export(self) -> int:
        return await export(self.path, self.cursor, self.shelf)


async def test_each_is_delivered_once_over_restarts(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put(1, 2)
    assert await bench.export() == 2
    bench.put(3)
    bench.cursor = Cursor(tmp_path / "export" / "shelf.json")
    assert await bench.export() == 1
    assert await bench.export() == 0
    assert bench.shelf.got == [1, 2, 3]


async def test_what_is_refused_is_delivered_next_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put(1, 2)
    bench.shelf.refusals = 1
    with pytest.raises(DependencyError):
        await bench.export()
    await bench.export()
    assert bench.shelf.got == [1, 2]


async def test_a_store_that_is_rotated_in_between_loses_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_bytes=500)
    bench.put(1)
    await bench.export()
    bench.put(2, 3)  # the file is full after two, the third begins another
    assert bench.path.with_name("findings.jsonl.1").exists()
    await bench.export()
    assert bench.shelf.got == [1, 2, 3]


async def test_a_torn_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put(1, 2)
    whole = bench.path.read_bytes()
    bench.path.write_bytes(whole[:-10])
    assert await bench.export() == 1
    bench.path.write_bytes(whole)
    assert await bench.export() == 1
    assert bench.shelf.got == [1, 2]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"inode": "x", "offset": 1}', "\x00"])
async def test_a_damaged_cursor_begins_at_the_start(tmp_path: Path, text: str) -> None:
    bench = Bench(tmp_path)
    bench.put(1)
    await bench.export()
    (tmp_path / "export" / "shelf.json").write_text(text)
    assert await bench.export() == 1


async def test_followed_it_goes_on_after_a_refusal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    failures: list[DependencyError] = []
    bench.shelf.refusals = 2
    following = asyncio.create_task(
        keep_exporting(bench.path, bench.cursor, bench.shelf, failed=failures.append)
    )
    bench.put(1, 2)
    while len(bench.shelf.got) < 2:
        await asyncio.sleep(0.01)
    following.cancel()
    assert bench.shelf.got == [1, 2]
    assert len(failures) == 2


async def test_a_delivery_that_is_under_way_when_all_ends_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.put(1)
    delivered, keep = asyncio.Event(), bench.cursor.store
    loop = asyncio.get_running_loop()

    def slowly(position: Position) -> None:
        loop.call_soon_threadsafe(delivered.set)
        threading.Event().wait(0.1)  # a slow disk
        keep(position)

    monkeypatch.setattr(bench.cursor, "store", slowly)
    exporting = asyncio.create_task(bench.export())
    await delivered.wait()
    exporting.cancel()
    await asyncio.wait({exporting})
    assert exporting.cancelled()
    await bench.export()
    assert bench.shelf.got == [1]


def test_the_commands_list_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Bench(tmp_path).put(1_795_449_725_000_000_000)
    assert run(["findings", "list", "--state", str(tmp_path)]) == 1
    assert "statements called ledger POST /v1/entries" in capsys.readouterr().out
    assert run(["findings", "list", "--state", str(tmp_path), "--code", "record", "--json"]) == 0
    assert capsys.readouterr().out == '{"findings": []}\n'
    target = tmp_path / "out.jsonl"
    export = ["findings", "export", "--state", str(tmp_path), "--ocsf", str(target)]
    assert run(export) == 0
    assert run(export) == 0
    assert len(target.read_text().splitlines()) == 1


def test_an_export_to_nowhere_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["findings", "export"]) == 2
    assert "findings go nowhere" in capsys.readouterr().err


async def test_while_a_command_runs_findings_go_out_and_the_rest_at_its_end(
    tmp_path: Path,
) -> None:
    bench, target = Bench(tmp_path), tmp_path / "out.jsonl"
    async with exporting(Outputs(ocsf=target), tmp_path):
        bench.put(1)
        while not (target.exists() and target.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
        bench.put(2, 3)
    events = [json.loads(line) for line in target.read_text().splitlines()]
    assert [event["finding_info"]["uid"] for event in events] == [
        uid_of(dataclasses.replace(FOUND, time=time)) for time in (1, 2, 3)
    ]


async def test_an_outlet_that_is_down_at_the_end_has_its_findings_next_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    bench.put(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    async with exporting(Outputs(syslog=receiver), tmp_path):
        pass
    assert "does not take messages" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", int(receiver.rpartition(":")[2]))):
        assert await export_once(Outputs(syslog=receiver), tmp_path) != {}


def test_each_path_query_and_port_of_a_host_is_another_webhook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Bench(tmp_path).put(1, 2)
    with webhook() as one, webhook() as other:
        urls = [one.url, f"{one.url}/team-b", f"{one.url}?token=hunter2", other.url]
        for url in [*urls, *urls]:
            assert run(["findings", "export", "--state", str(tmp_path), "--webhook", url]) == 0
        assert (len(one.requests), len(other.requests)) == (6, 2)
    said = capsys.readouterr().err
    assert said.count("2 findings to http://127.0.0.1:") == said.count("0 findings to http") == 4
    kept = {path.name for path in (tmp_path / "export").iterdir()}
    assert len(kept) == 4
    assert "hunter2" not in said + " ".join(kept)


def test_what_an_older_cursor_of_the_whole_host_holds_back_is_sent_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put(1)
    end = list(read_findings(bench.path, Position()))[-1][1]
    with webhook() as hook:
        digest = hashlib.sha256(b"http://127.0.0.1").hexdigest()[:12]
        Cursor(tmp_path / "export" / f"webhook-{digest}.json").store(end)
        assert run(["findings", "export", "--state", str(tmp_path), "--webhook", hook.url]) == 0
        assert len(hook.requests) == 1


def test_a_file_of_the_same_name_elsewhere_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bench(tmp_path).put(1)
    for folder in ("here", "there", "here"):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        assert run(["findings", "export", "--state", str(tmp_path), "--ocsf", "out.jsonl"]) == 0
        assert len((tmp_path / folder / "out.jsonl").read_text().splitlines()) == 1


def test_syslog_receivers_are_told_apart_by_kind_host_port_and_path() -> None:
    given = ["udp://h", "udp://h:515", "udp://i", "tcp://h:514", "unix:///dev/log", "unix:///log"]
    assert len({Syslog(parse_receiver(one)).address for one in given}) == len(given)


def test_one_finding_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Bench(tmp_path).put(1)
    run(["findings", "list", "--state", str(tmp_path)])
    assert capsys.readouterr().out.endswith("\n1 finding\n")
    run(["findings", "export", "--state", str(tmp_path), "--ocsf", str(tmp_path / "out.jsonl")])
    assert capsys.readouterr().err.startswith("1 finding to ")
