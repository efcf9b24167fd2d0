"""`meshwarden behaviour`: files in, files out, exit codes."""

import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.behaviour_world import HOUR, SECOND, START, call, learned, name, table, traffic

from meshwarden.adapters.storage.parts import PartWriter
from meshwarden.cli import run
from meshwarden.lab.mesh import ACCESS_POLICY

HEADER = "time,source,destination,protocol\n"


def _minutes(path: Path, rows: int = 600) -> Path:
    """Calls at minute resolution: no ports, no octets, many at one time."""
    lines = [f"{START + i // 5 * 60 * SECOND},h{i % 3},h{3 + i % 4},tcp\n" for i in range(rows)]
    with gzip.open(path, "wt") as file:
        file.write(HEADER + "".join(lines))
    return path


def _attacked(folder: Path) -> tuple[Path, Path]:
    quiet, bad = folder / "quiet.parquet", folder / "bad.parquet"
    pq.write_table(table(traffic(48)), quiet)
    later = START + 48 * HOUR
    pq.write_table(table([call(later + i * SECOND, "s5", f"s{i % 3}") for i in range(9)]), bad)
    return quiet, bad


def test_minute_resolution_without_ports_or_octets_is_scored_row_by_row(tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    assert run(["behaviour", "score", str(_minutes(tmp_path / "c.csv.gz")), "-o", str(out)]) in {
        0,
        1,
    }
    scores = pq.read_table(out)
    assert scores.column_names == ["row", "score", "alert", "channel"]
    assert scores["row"].to_pylist() == list(range(600))


def test_rows_keep_their_source_number_where_others_are_set_aside(tmp_path: Path) -> None:
    calls = tmp_path / "c.csv"
    calls.write_text(HEADER + f"{START},a,b,tcp\nnever,a,b,tcp\n{START},a,c,tcp\n")
    out = tmp_path / "scores.parquet"
    assert run(["behaviour", "score", str(calls), "-o", str(out)]) == 0
    assert pq.read_table(out)["row"].to_pylist() == [0, 2]


@pytest.mark.parametrize("packed", [False, True])
def test_odd_rows_are_counted_as_an_import_counts_them(
    tmp_path: Path, packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    good = "".join(f"{START + n * SECOND},a,b,tcp,x\n" for n in range(4000))
    odd = f'{START},"a,b,tcp,\n{START + HOUR},a,b,tcp,\n{START + SECOND},a,b,tcp,\n1,a\n'
    text = HEADER.strip().encode() + b",mood\n" + (good + odd).encode() + b"1,a,\xff,tcp,\n"
    calls = tmp_path / ("c.csv.gz" if packed else "c.csv")
    calls.write_bytes(gzip.compress(text)[:-5] if packed else text)
    out = str(tmp_path / "out.parquet")
    assert run(["calls", "import", str(calls), "-o", out, "--json"]) == 0
    imported = json.loads(capsys.readouterr().out)
    for command in (["score", str(calls), "-o", out], ["learn", str(calls), "-o", out + ".base"]):
        assert run(["behaviour", *command, "--json"]) in {0, 1}
        found = json.loads(capsys.readouterr().out)
        assert found["rejected"] == imported["set_aside"]
        assert found["notes"].items() <= imported["notes"].items()
        assert len(found["notes"]) == 3  # the column, late, and far behind
    assert run(["behaviour", "score", str(calls), "-o", out]) in {0, 1}
    shown = capsys.readouterr().out
    assert "set aside   1 a quote that nothing closes" in shown
    assert "note        1 x column mood is none of a call's: not read" in shown


def test_a_baseline_finds_what_it_did_not_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, bad = _attacked(tmp_path)
    base, out, ocsf = (str(tmp_path / n) for n in ("base", "scores.parquet", "findings.jsonl"))
    assert run(["behaviour", "learn", str(quiet), "-o", base]) == 0
    capsys.readouterr()
    score = [
        "behaviour",
        "score",
        str(bad),
        "--baseline",
        base,
        "-o",
        out,
        "--ocsf",
        ocsf,
        "--json",
    ]
    assert run(score) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["findings"][0]["subject"] == "spiffe://bank.example/s5"
    assert pq.read_table(out)["alert"].to_pylist().count(True) == len(found["findings"])
    first = json.loads(Path(ocsf).read_text().splitlines()[0])
    assert first["class_uid"] == 2004
    assert first["type_uid"] == 200401
    assert first["metadata"]["version"] == "1.8.0"
    assert first["finding_info"]["attacks"][0]["technique"]["uid"].startswith("T1")


def test_growth_without_an_alarm_is_told_and_exits_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was alarmed about is in the baseline; it goes on, and becomes rarer by far."""
    base, rest = tmp_path / "base", tmp_path / "rest.parquet"
    step = HOUR // 6 // 4000
    flood = table([call(START + 48 * HOUR + i * step, "s0", "s1") for i in range(4000)])
    first, *others = learned().observe(flood).alert.nonzero()[0].tolist()
    model = learned()
    model.observe(flood.slice(0, first + 1))
    base.write_bytes(model.save())
    until_next = min(others, default=len(flood)) - first - 1
    pq.write_table(flood.slice(first + 1, until_next), rest)
    score = ["behaviour", "score", str(rest), "--baseline", str(base), "--json"]
    assert run([*score, "-o", str(tmp_path / "scores.parquet")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["alarms"] == 0
    assert "the incident grows" in said["findings"][0]["sentence"]


def test_a_file_that_cannot_be_written_is_the_one_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, _ = _attacked(tmp_path)
    scores = tmp_path / "scores.parquet"
    score = ["behaviour", "score", str(quiet), "-o", str(scores)]
    assert run([*score, "--ocsf", str(tmp_path)]) == 2
    assert f"{tmp_path} cannot be written" in capsys.readouterr().err
    assert pq.read_table(scores).num_rows
    assert run([*score[:-1], str(tmp_path / "none" / "scores")]) == 2
    assert f"{tmp_path / 'none' / 'scores'} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("hours", "said"), [
    (48, "1 alarm; warmed up"),
    (0, "0 alarms; still warming up: nothing is reported in the first 15 minutes and 10 calls"),
])  # fmt: skip
def test_score_and_show_say_whether_the_model_still_warms_up(
    hours: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, base = tmp_path / "calls.parquet", tmp_path / "base"
    pq.write_table(table([call(START, "s0", "s1"), *traffic(hours)]), calls)
    assert run(["behaviour", "learn", str(calls), "-o", str(base)]) == 0
    capsys.readouterr()
    run(["behaviour", "score", str(calls), "-o", str(tmp_path / "scores.parquet")])
    assert capsys.readouterr().out.rstrip().endswith(f", {said}")
    run(["behaviour", "show", str(base)])
    assert capsys.readouterr().out.splitlines()[0].endswith(f" days, {said.partition('; ')[2]}")


def test_show_prints_text_and_draws_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, _ = _attacked(tmp_path)
    base, picture = str(tmp_path / "base"), tmp_path / "learned.svg"
    run(["behaviour", "learn", str(quiet), "-o", base])
    assert run(["behaviour", "show", base]) == 0
    assert "8 edges" in capsys.readouterr().out
    assert run(["behaviour", "show", base, "--format", "svg", "-o", str(picture)]) == 0
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize("content", ["", HEADER, "nonsense\n1\n"])
def test_empty_or_broken_input_is_one_line_and_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    calls = tmp_path / "c.csv"
    calls.write_text(content)
    assert run(["behaviour", "learn", str(calls), "-o", str(tmp_path / "base")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "base").exists()


def test_a_damaged_baseline_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base"
    base.write_bytes(b"MWBASE01" + b"\xff" * 99)
    assert run(["behaviour", "show", str(base)]) == 2
    assert "not a baseline" in capsys.readouterr().err


def test_a_new_call_that_the_policy_allows_surprises_less_than_one_that_it_denies(
    tmp_path: Path,
) -> None:
    """The caller never called anyone before: only the policy tells the two apart."""
    quiet, new = tmp_path / "quiet.parquet", tmp_path / "new.parquet"
    pq.write_table(table(traffic(48)), quiet)
    bank, later = "spiffe://bank.example/ns/core/sa/", START + 48 * HOUR
    scores = {}
    for route in ("/v1/transfers", "/v1/undeclared"):
        first = call(later, f"{bank}payments", f"{bank}ledger", method="POST", route=route)
        pq.write_table(table([first]), new)
        out = tmp_path / "scores.parquet"
        files = [str(quiet), str(new), "-o", str(out), "--policy", str(ACCESS_POLICY)]
        assert run(["behaviour", "score", *files]) in {0, 1}
        scores[route] = pq.read_table(out)["score"].to_pylist()[-1]
    assert scores["/v1/transfers"] < scores["/v1/undeclared"]


def test_a_policy_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, _ = _attacked(tmp_path)
    policy = tmp_path / "access.yaml"
    policy.write_text("services: 1\n")
    files = [str(quiet), "-o", str(tmp_path / "base"), "--policy", str(policy)]
    assert run(["behaviour", "learn", *files]) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2


def test_what_a_person_calls_benign_is_held_back_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, bad = _attacked(tmp_path)
    base, out = str(tmp_path / "base"), str(tmp_path / "scores.parquet")
    assert run(["behaviour", "learn", str(quiet), "-o", base]) == 0
    asked = ["--reason", "a test of the network", "--as", "ana", "--days", "365"]
    assert run(["behaviour", "benign", "spiffe://bank.example/s5", "--baseline", base, *asked]) == 0
    capsys.readouterr()
    assert run(["behaviour", "verdicts", "--baseline", base]) == 0
    assert "a test of the network (ana, 20" in capsys.readouterr().out
    run(["behaviour", "verdicts", "--baseline", base, "--json"])
    [kept] = json.loads(capsys.readouterr().out)["verdicts"]
    said, until = (datetime.fromisoformat(kept[name]) for name in ("said", "until"))
    assert until - said == timedelta(days=365)
    assert run(["behaviour", "benign", "s5", "--baseline", base, *asked, "--channel", "none"]) == 2
    assert "channels: " in capsys.readouterr().err
    score = ["behaviour", "score", str(bad), "--baseline", base, "-o", out, "--json"]
    assert run(score) == 0
    told = capsys.readouterr()
    sentence = "Alarms about spiffe://bank.example/s5 are held back until"
    assert told.err.startswith(sentence)
    [verdict] = json.loads(told.out)["findings"]
    assert verdict["time"][:19] == kept["said"][:19]
    assert (verdict["code"], verdict["subject"]) == (
        "behaviour.verdict",
        "spiffe://bank.example/s5",
    )
    state = tmp_path / "state"
    PartWriter(state / "calls", max_bytes=2**20).close()
    assert run(["behaviour", "watch", "--state", str(state), "--once", "--baseline", base]) == 0
    assert sentence in capsys.readouterr().out


def _benign(base: Path, *arguments: str) -> int:
    asked = ["--reason", "a test", "--as", "ana", "--baseline", str(base), "--json"]
    return run(["behaviour", "benign", *arguments, *asked])


def test_the_last_part_of_a_name_is_enough_where_one_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    base.write_bytes(learned(2, edges=(("a/s1", "b/s2"), ("b/s1", "b/s2"))).save())
    assert _benign(base, "s2", "--to", "a/s1") == 0
    shown = capsys.readouterr()
    kept = json.loads(shown.out)
    assert (kept["source"], kept["destination"]) == (name("b/s2"), name("a/s1"))
    assert shown.err == ""
    assert _benign(base, "s1") == 2
    several = f"did you mean {name('a/s1')!r}, {name('b/s1')!r}?"
    assert several in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "why"), [
    (["reviws"], f"'reviws' names nobody who is known (did you mean {name('reviews')!r}?)"),
    (["reviews", "--to", "detials"], f"(did you mean {name('details')!r}?)"),
    (["nosuch"], "'nosuch' names nobody who is known (a SPIFFE ID in full, or external:HOST)"),
    (["\x1b[2J"], "'\\x1b[2J' names nobody"),
    ([""], "'' names nobody"),
    (["/reviews"], "names nobody"),
    (["spiffe://bank.example"], "not a SPIFFE ID"),
])  # fmt: skip
def test_who_is_not_known_by_a_part_of_a_name_is_refused_with_those_who_are_near(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    base.write_bytes(learned(2, edges=(("reviews", "details"),)).save())
    before = base.read_bytes()
    assert _benign(base, *arguments) == 2
    shown = capsys.readouterr()
    assert why in shown.err
    assert (shown.out, "\x1b" in shown.err, base.read_bytes()) == ("", False, before)


def test_a_name_in_full_may_be_of_somebody_new_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    base.write_bytes(learned(2, edges=(("reviews", "details"),)).save())
    assert _benign(base, name("reviws"), "--to", "external:api.example") == 0
    has_not = "meshwarden: the baseline has not seen"
    assert capsys.readouterr().err.splitlines() == [
        f"{has_not} {name('reviws')} yet; it has seen {name('reviews')}",
        f"{has_not} external:api.example yet",
    ]


def test_baselines_of_two_places_are_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, edge in (("here", ("a", "b")), ("there", ("b", "c"))):
        pq.write_table(table(traffic(6, edges=(edge,))), tmp_path / f"{place}.parquet")
        learn = ["behaviour", "learn", str(tmp_path / f"{place}.parquet")]
        assert run([*learn, "-o", str(tmp_path / place)]) == 0
    both = [str(tmp_path / place) for place in ("here", "there", "both")]
    assert run(["behaviour", "merge", *both[:2], "-o", both[2]]) == 0
    capsys.readouterr()
    assert run(["behaviour", "show", both[2], "--json"]) == 0
    known = {one["source"][-1] for one in json.loads(capsys.readouterr().out)["edges"]}
    assert known == {"a", "b"}
