"""The register under any order of events: nothing un-revokes, nothing revoked is left off lists."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwarden.adapters.storage.register import FileRegister
from meshwarden.identity import Kind, Record
from meshwarden.identity.register import KEPT, LISTED, register_of

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
ISSUERS = ("a1", "b2")
SERVICES = ("front", "back")


@st.composite
def certificates(draw: st.DrawFn) -> list[Record]:
    """Draw what was issued: each with its own serial number and digest."""
    lives = draw(st.lists(st.integers(-72, 24), min_size=1, max_size=8))
    return [
        Record(
            time=NOW,
            kind=draw(st.sampled_from([Kind.ISSUED, Kind.RENEWED])),
            identity="spiffe://test.example/x",
            instance=draw(st.sampled_from(SERVICES)),
            serial=2**100 + number,
            sha256=f"{number:064x}",
            issuer=draw(st.sampled_from(ISSUERS)),
            not_after=NOW + timedelta(hours=hours),
        )
        for number, hours in enumerate(lives)
    ]


def revoked(record: Record) -> Record:
    return Record(
        time=NOW, kind=Kind.REVOKED, identity=record.identity, instance=record.instance,
        serial=record.serial, sha256=record.sha256, issuer=record.issuer,
        not_after=record.not_after,
    )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Record], set[str]]:
    """Draw records in any order, some twice, and the digests that they revoke."""
    issued = draw(certificates())
    taken = [record for record in issued if draw(st.booleans())]
    numbers = draw(st.lists(st.tuples(st.sampled_from(ISSUERS), st.integers(1, 50)), max_size=6))
    listed = [Record(time=NOW, kind=Kind.LISTED, issuer=i, number=n) for i, n in numbers]
    records = issued + list(map(revoked, taken)) + listed
    records += draw(st.lists(st.sampled_from(records), max_size=5))
    return draw(st.permutations(records)), {record.sha256 for record in taken}


@given(histories())
def test_whatever_the_order_the_same_certificates_are_revoked(
    history: tuple[list[Record], set[str]],
) -> None:
    records, digests = history
    register = register_of(records)
    assert set(register.revoked) == digests


@given(histories())
def test_every_revoked_certificate_that_lives_is_on_its_issuers_list_and_no_other(
    history: tuple[list[Record], set[str]],
) -> None:
    register = register_of(history[0])
    lists = {issuer: {one.serial for one in register.listed(issuer, now=NOW)} for issuer in ISSUERS}
    for record in register.revoked.values():
        assert record.not_after is not None
        lives = record.not_after + LISTED >= NOW
        assert (record.serial in lists[record.issuer]) is lives
    assert sum(map(len, lists.values())) == len(register.in_force(now=NOW))
    innocent = {r.serial for r in register.issued.values() if r.sha256 not in register.revoked}
    assert innocent.isdisjoint(set().union(*lists.values()))


@given(histories())
def test_list_numbers_only_grow(history: tuple[list[Record], set[str]]) -> None:
    records, _ = history
    used: dict[str, int] = dict.fromkeys(ISSUERS, 0)
    register = register_of([])
    for record in records:
        register.apply(record)
        if record.kind is Kind.LISTED:
            used[record.issuer] = max(used[record.issuer], record.number or 0)
        for issuer in ISSUERS:
            assert register.next_number(issuer) == used[issuer] + 1


@given(histories(), st.integers(0, 96))
def test_forgetting_takes_only_what_ended_long_ago_and_no_revocation(
    history: tuple[list[Record], set[str]], hours: int
) -> None:
    records, digests = history
    register = register_of(records)
    before, later = dict(register.issued), NOW + timedelta(hours=hours)
    live = {record.sha256 for record in register.live(now=later)}
    register.forget(now=later)
    assert live <= set(register.issued)
    gone = set(before) - set(register.issued)
    ends = [before[digest].not_after for digest in gone]
    assert all(end is not None and end + KEPT < later for end in ends)
    assert set(register.revoked) == digests


@settings(max_examples=30)
@given(histories())
def test_records_of_a_register_give_the_same_register_through_the_file(
    history: tuple[list[Record], set[str]],
) -> None:
    register = register_of(history[0])
    with TemporaryDirectory() as folder:
        file = FileRegister(Path(folder) / "identity.jsonl")
        file.append(register.records())
        assert file.load() == register


@given(
    st.lists(
        st.tuples(st.sampled_from(SERVICES), st.sampled_from([Kind.WITHHELD, Kind.RESTORED])),
        max_size=8,
    )
)
def test_a_service_is_withheld_by_the_last_word_about_it(words: list[tuple[str, Kind]]) -> None:
    register = register_of(Record(time=NOW, kind=kind, instance=name) for name, kind in words)
    last = dict(words)
    assert set(register.withheld) == {n for n, kind in last.items() if kind is Kind.WITHHELD}
