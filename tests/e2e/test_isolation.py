"""What a shell in an isolated service can do, and what it cannot; needs root."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.isolated_mesh import (
    MESH,
    POLICY,
    SERVICES,
    Isolated,
    free_ports,
    isolated_mesh,
    running,
)
from tests.e2e.mesh_process import nothing_left, processes_of
from tests.e2e.small_mesh import rows_of

from meshwarden.adapters.network import why_unavailable
from meshwarden.adapters.storage.calls import load_calls

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can isolate"),
]
SIDECAR_PORT = 15443
REFUSED = "(?i)permission denied|operation not permitted|no such file|cannot open|can't open"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Isolated]:
    with isolated_mesh() as running_mesh:
        yield running_mesh


def connect(host: str, port: int, *, send: str = "") -> str:
    """Return a script that connects, and prints what it was answered."""
    return (
        f"import socket; s = socket.create_connection(({host!r}, {port}), 3)\n"
        f"s.sendall({send!r}.encode()); print('answered', s.recv(99))"
    )


def refused(answer: tuple[int, str]) -> bool:
    """Return whether a `connect` got nothing at all, be it at once or after it was accepted."""
    status, said = answer
    ended = r"\b(ConnectionRefusedError|ConnectionResetError|TimeoutError|gaierror|OSError)\b"
    nothing = status != 0 and re.search(ended, said)
    return bool(nothing) or "answered b''" in said


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def as_user(
    uid: int, script: str, *, network_of: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python script as the user `uid`, in this machine's view of the files."""
    become = (
        f"import os, socket, encodings.idna; os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
    )
    command = [sys.executable, "-I", "-S", "-c", become + script]
    if network_of is not None:
        command = ["nsenter", "-t", str(network_of), "-n", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def namespace(pid: int, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def test_up_says_that_it_isolates(mesh: Isolated) -> None:
    assert why_unavailable() is None
    assert mesh.summary["isolated"] is True


def test_each_program_has_a_user_without_a_name_and_no_capability(mesh: Isolated) -> None:
    names = [each["name"] for each in mesh.summary["services"]]
    pids = [mesh.pid(name) for name in names] + [mesh.pid(f"{name}.sidecar") for name in names]
    uids = [uid_of(pid) for pid in pids]
    assert len(set(uids)) == len(uids) == 10
    assert all(61184 <= uid <= 65519 for uid in uids)
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        held = dict(re.findall(r"^(Cap\w+|NoNewPrivs):\s*(\S+)$", status, re.MULTILINE))
        assert held.pop("NoNewPrivs") == "1"
        assert {int(value, 16) for value in held.values()} == {0}


def test_service_and_sidecar_share_a_network_that_nobody_else_is_in(mesh: Isolated) -> None:
    own = namespace(mesh.pid("shell"), "net")
    assert own == namespace(mesh.pid("shell.sidecar"), "net")
    others = {namespace(mesh.pid(name), "net") for name in ("back", "store", "stranger")}
    assert len(others | {own, namespace(os.getpid(), "net")}) == 5


def test_shell_reads_no_key_and_no_file_of_another(mesh: Isolated) -> None:
    for path in ("ca/root.key", "ca", "run/back/app", "logs/shell/access.log", "up.json"):
        status, said = mesh.shell(f"cat {mesh.state / path} || ls {mesh.state / path}")
        assert status != 0, said
        assert re.search(REFUSED, said)
    _, seen = mesh.shell(f"find {mesh.state} /tmp /run -type f -o -type s 2>/dev/null")
    own = (str(mesh.state / "run/shell/app"), str(SERVICES), str(Path(sys.prefix)))
    package = str(SERVICES.parents[2] / "src")
    foreign = [line for line in seen.splitlines() if not line.startswith((*own, package))]
    assert {Path(line).parent for line in foreign} <= {mesh.state.parent}  # its own directory


def test_shell_gets_no_identity_its_own_neither(mesh: Isolated) -> None:
    for name in ("shell", "back", "border"):
        for socket in ("xds.sock", "own/admin", "app/app.sock"):
            if (name, socket) == ("shell", "app/app.sock"):
                continue
            path = str(mesh.state / "run" / name / socket)
            status, said = mesh.python(
                f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
            )
            assert status != 0
            assert re.search(REFUSED, said)


def test_what_the_view_hides_is_closed_to_the_service_also_by_its_permissions(
    mesh: Isolated,
) -> None:
    uid = uid_of(mesh.pid("shell"))
    for path in ("run/shell/xds.sock", "run/shell/own/admin", "run/back/app/app.sock",
                 "up.json", "logs/control-plane.log", "logs/shell.log", "ca/root.key", "run/api.sock", "logs/shell/access.log", "run/back/xds.sock"):  # fmt: skip
        assert (mesh.state / path).exists()
        opens = f"print(os.access({str(mesh.state / path)!r}, os.R_OK | os.W_OK))"
        assert as_user(uid, opens).stdout == "False\n", path


def test_shell_cannot_leave_its_network_or_change_its_firewall(mesh: Isolated) -> None:
    for line in (
        "nsenter --net=/proc/1/ns/net true",
        "nsenter --net=/proc/$PPID/ns/net true",
        "nft flush ruleset",
        "nft list ruleset | grep -q policy",
        "ip link set lo down",
        "ip route add default dev eth0",
        "umount /etc/hosts",
        "umount /proc",
        "mount --bind / /mnt",
        "mknod /tmp/disk b 254 0",
    ):
        status, said = mesh.shell(f"PATH=/usr/sbin:/sbin:$PATH; {line}")
        assert status != 0, (line, said)


def test_a_user_namespace_of_its_own_leads_nowhere(mesh: Isolated) -> None:
    _, said = mesh.shell(
        "PATH=/usr/sbin:/sbin:$PATH; unshare -Ur sh -c 'nft flush ruleset; umount /etc/hosts;"
        f" umount -l /tmp; ip link set eth0 down; cat {mesh.state}/ca/root.key' 2>&1;"
        " nft list ruleset"
    )
    assert "PRIVATE KEY" not in said
    test_shell_reaches_no_other_service_around_its_sidecar(mesh)


def test_shell_reaches_no_other_service_around_its_sidecar(mesh: Isolated) -> None:
    for name in ("back", "store", "stranger", "web"):
        for port in (SIDECAR_PORT, 15001, 25432, 22):
            assert refused(
                mesh.python(connect(mesh.host(name), port, send="GET / HTTP/1.1\r\n\r\n"))
            )


def test_no_port_of_a_service_is_open_to_the_network(mesh: Isolated) -> None:
    sidecar = uid_of(mesh.pid("shell.sidecar"))
    [web] = [each["listens"] for each in mesh.summary["services"] if each["name"] == "web"]
    # As the sidecar's own user, whom the firewall lets out: only mutual TLS is there.
    for port in (SIDECAR_PORT, 15001, int(web.rpartition(":")[2])):
        script = connect(mesh.host("web"), port, send="GET / HTTP/1.1\r\n\r\n")
        done = as_user(sidecar, script, network_of=mesh.pid("shell"))
        assert ("refused" in done.stderr) is (port != SIDECAR_PORT)
        assert "answered b'HTTP" not in done.stdout


def test_shell_reaches_neither_this_machine_nor_the_internet(mesh: Isolated) -> None:
    addresses = json.loads(
        subprocess.run(["ip", "-j", "addr"], capture_output=True, check=True).stdout  # noqa: S607
    )
    own = {info["local"] for each in addresses for info in each["addr_info"]}
    for host in (own | {"192.0.2.1", "1.1.1.1"}) - {"::1"}:
        assert refused(mesh.python(connect(host, mesh.host_port, send="GET / HTTP/1.1\r\n\r\n")))
    status, _ = mesh.shell("getent hosts example.com")
    assert status != 0
    status, said = mesh.python(
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.sendto(b'x', ('198.18.0.1', 53)); s.sendto(b'x', ('198.18.0.1', 53))"
    )
    assert status != 0, said


def test_shell_can_neither_see_signal_nor_trace_its_sidecar(mesh: Isolated) -> None:
    sidecar = mesh.pid("shell.sidecar")
    for line in (f"ls /proc/{sidecar}", f"kill -0 {sidecar}", f"cat /proc/{sidecar}/environ",
                 f"kill -9 {mesh.pid('back')}"):  # fmt: skip
        status, said = mesh.shell(line)
        assert status != 0, said
    script = f"import ctypes; raise SystemExit(ctypes.CDLL(None).ptrace(16, {sidecar}, 0, 0) != 0)"
    assert mesh.python(script)[0] == 1
    _, seen = mesh.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "envoy" not in seen
    assert "shell.py" in seen


def test_the_service_is_limited_in_processes_and_memory(mesh: Isolated) -> None:
    status, said = mesh.python(
        "import os, signal\nmade = []\n"
        "try:\n  for n in range(100): made.append(os.fork() or signal.pause())\n"
        "except BlockingIOError: print('stopped at', n, flush=True)\n"
        "[(os.kill(one, 9), os.waitpid(one, 0)) for one in made]"
    )
    assert status == 0
    assert 20 < int(said.removeprefix("stopped at ")) < 64
    status, said = mesh.python("bytearray(300 << 20)")
    assert status != 0
    assert "MemoryError" in said


def test_a_program_that_knows_no_proxy_reaches_an_allowed_service_by_name(mesh: Isolated) -> None:
    status, said = mesh.shell("curl -s --max-time 20 http://back/v1/ping")
    assert status == 0
    seen = json.loads(said)
    assert "URI=spiffe://test.example/shell" in seen["headers"]["x-forwarded-client-cert"]
    status, said = mesh.python(
        "import urllib.request as r; print(r.urlopen('http://web/', timeout=20).status)"
    )
    assert said == "200\n"


def test_it_is_refused_where_no_rule_allows_it(mesh: Isolated) -> None:
    code = "curl -s --max-time 20 -o /dev/null -w %{http_code}"
    assert mesh.shell(f"{code} -X DELETE http://back/v1/ping")[1] == "403"
    assert mesh.shell(f"{code} http://stranger/")[1] == "403"


def test_connections_to_an_allowed_tcp_service_pass_and_no_others(mesh: Isolated) -> None:
    assert mesh.python(connect("store", 5432, send="hello"))[1] == "answered b'HELLO'\n"
    assert refused(mesh.python(connect("store", 5433, send="hello")))
    assert refused(mesh.python(connect("stranger", 5432, send="hello")))


def test_listed_outside_hosts_are_reached_by_name_and_no_others(mesh: Isolated) -> None:
    curl = "curl -sk --max-time 20"
    assert mesh.shell(f"{curl} http://plain.example/") == (0, "from outside\n")
    assert mesh.shell(f"{curl} https://listed.example/") == (0, "from outside\n")
    for url in ("http://listed.example/", "https://plain.example/"):
        assert "from outside" not in mesh.shell(f"{curl} {url}")[1]
    status, _ = mesh.shell(
        f"{curl} --connect-to evil.example:443:listed.example:443 https://evil.example/"
    )
    assert status != 0  # the right address, another name


def test_what_was_carried_and_what_was_refused_is_on_record(mesh: Isolated) -> None:
    mesh.python(connect("store", 5433, send="hello"))
    mesh.shell("curl -sk --max-time 20 https://listed.example/")
    with urllib.request.urlopen(f"http://127.0.0.1:{mesh.edge}/", timeout=20) as answer:
        assert answer.status == 200
    shell = "spiffe://test.example/shell"
    store = f"external:{mesh.host('store')}"
    refusals = recorded(mesh, source=shell, destination=store, destination_port=5433)
    assert all(row["denied"] and row["rule"] == "egress:not-listed" for row in refusals)
    assert recorded(mesh, source=shell, destination="external:listed.example", denied=False)
    # The border tells the sidecar who the client is.
    back = "spiffe://test.example/back"
    assert recorded(mesh, source="external:127.0.0.1", destination=back)


def recorded(mesh: Isolated, **wanted: object) -> list[dict[str, object]]:
    """Return the calls on record that are as wanted, once there are any."""
    flush = ["curl", "-sf", "-X", "POST", "--unix-socket", str(mesh.state / "run/api.sock")]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # a sidecar writes its log a moment after it has answered
        subprocess.run([*flush, "http://api/v1/calls/flush"], check=True, capture_output=True)
        found = load_calls([mesh.state / "calls"])
        assert found.rejected == {}
        if rows := rows_of(found.table, **wanted):
            return rows
        time.sleep(0.1)
    raise AssertionError(f"nothing on record is {wanted}")


def test_a_policy_change_reaches_hosts_files_and_border_of_a_running_mesh(mesh: Isolated) -> None:
    policy = mesh.state.parent / "access.yaml"
    listed = "- {host: plain.example, port: 80}"
    policy.write_text(
        POLICY.replace(listed, f"{listed}\n      - {{host: new.example, port: {mesh.host_port}}}")
    )
    reload = ["curl", "-sf", "-X", "POST", "--unix-socket", str(mesh.state / "run/api.sock")]
    subprocess.run([*reload, "http://api/v1/policy/reload"], check=True, capture_output=True)
    assert mesh.shell("getent hosts new.example")[0] == 0
    policy.write_text(POLICY)
    subprocess.run([*reload, "http://api/v1/policy/reload"], check=True, capture_output=True)
    assert mesh.shell("getent hosts new.example")[0] != 0


def test_nothing_is_left_after_a_stop_nor_after_a_kill(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = traces()
    mesh_file = write(tmp_path)
    with running(mesh_file, tmp_path / "s") as (_, summary):
        assert summary["isolated"]
        assert traces() == before  # nor while it runs: it has networks of its own
    assert processes_of(tmp_path) == set()
    with running(mesh_file, tmp_path / "s") as (process, _):
        spaces = {namespace(pid, "net") for pid in processes_of(tmp_path)}
        assert len(spaces) == 6
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        asyncio.run(nothing_left(tmp_path))
    assert traces() == before
    assert spaces & spaces_of_all() == {namespace(os.getpid(), "net")}


def test_two_meshes_run_side_by_side(tmp_path: Path, mesh: Isolated) -> None:
    tmp_path.chmod(0o755)
    with running(write(tmp_path), tmp_path / "s") as (_, summary):
        [other] = [each["pid"] for each in summary["services"] if each["name"] == "shell"]
        assert uid_of(other) != uid_of(mesh.pid("shell"))
        assert mesh.shell("curl -s --max-time 20 http://back/v1/ping")[0] == 0


def test_loopback_is_a_choice_and_says_what_is_not_protected(tmp_path: Path) -> None:
    with running(write(tmp_path), tmp_path / "s", "--loopback") as (_, summary):
        assert summary["isolated"] is False
    [note] = [line for line in (tmp_path / "up.log").read_text().splitlines() if "note:" in line]
    assert "not isolated (--loopback)" in note
    assert "does not protect" in note


def test_a_clone_and_an_interpreter_that_others_cannot_reach_do_not_matter() -> None:
    with tempfile.TemporaryDirectory(prefix="mw-") as home:  # closed to others, as a home is
        assert not Path(home).stat().st_mode & 0o001
        clone = Path(home) / "clone"
        clone.mkdir(mode=0o755)
        shutil.copy(SERVICES / "echo.py", clone / "echo.py")
        (clone / "access.yaml").write_text(
            "apiVersion: meshwarden.dev/v1\ntrust_domain: test.example\nservices:\n"
            "  one: {identity: spiffe://test.example/one}\n"
        )
        (clone / "mesh.yaml").write_text(
            "apiVersion: meshwarden.dev/v1\npolicy: access.yaml\nservices:\n"
            f"  one: {{command: ['{sys.executable}', -I, -S, echo.py], socket: true, health: /}}\n"
        )
        with running(clone / "mesh.yaml", clone / ".meshwarden") as (_, summary):
            assert summary["isolated"] is True


def write(directory: Path) -> Path:
    edge, web, plain, tls = free_ports(4)
    (directory / "access.yaml").write_text(POLICY)
    mesh_file = directory / "mesh.yaml"
    mesh_file.write_text(
        MESH.format(
            python=sys.executable, services=SERVICES, edge=edge, web=web, plain=plain, tls=tls
        )
    )
    return mesh_file


def spaces_of_all() -> set[str]:
    """Return the network namespaces that any process is in."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            found.add(namespace(int(entry.name), "net"))
    return found


def traces() -> list[str]:
    """Return what this machine's own network and mounts look like."""
    looks = (["ip", "-o", "link"], ["nft", "list", "ruleset"], ["ip", "netns"], ["findmnt", "-l"])
    return [
        subprocess.run(look, capture_output=True, text=True, check=True).stdout for look in looks
    ]
