"""A secret's file in a directory that a suspect may write, and replacements that were interrupted."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshwarden.adapters.rotation import CommandRotation, FileRotation
from meshwarden.adapters.rotation.place import MAX_BYTES, Folder
from meshwarden.kernel import DependencyError


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "secret"
    place.write_text("the old one\n")
    return place


def rotation(place: Path) -> FileRotation:
    return FileRotation(path=place, clock=Clock(), overlap_s=0.0)


async def test_a_secret_keeps_the_form_of_its_file_and_is_hard_to_guess(place: Path) -> None:
    seen = set()
    for number in range(3):
        await rotation(place).rotate(str(number))
        seen.add(place.read_text())
    assert len(seen) == 3
    assert all(one.endswith("\n") and len(one.strip()) >= 43 for one in seen)


@pytest.mark.parametrize("name", ["secret", ".secret.{pid}.new", "secret.previous"])
async def test_links_of_a_suspect_are_not_followed(place: Path, name: str) -> None:
    victim = place.with_name("victim")
    victim.write_text("precious")
    link = place.with_name(name.format(pid=os.getpid()))
    link.unlink(missing_ok=True)
    link.symlink_to(victim)
    if name == "secret":
        with pytest.raises(DependencyError):
            await rotation(place).rotate("1")
        assert await rotation(place).check()
    else:
        await rotation(place).rotate("1")
        assert place.read_text() != "the old one\n"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["fifo", "folder", "large", "none"])
async def test_what_is_no_secret_is_refused(place: Path, kind: str) -> None:
    place.unlink()
    match kind:
        case "fifo":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "large":
            place.write_bytes(bytes(MAX_BYTES + 1))
    assert await rotation(place).check()
    with pytest.raises(DependencyError):
        await rotation(place).rotate("1")


@pytest.mark.parametrize("spoilt", [b"", b"[", b"5", b"[1]", b'["1", "x"]', b"[" * 5000, b"\xff"])
async def test_a_note_that_somebody_spoilt_begins_a_replacement_anew(
    place: Path, spoilt: bytes
) -> None:
    place.with_name("secret.rotation").write_bytes(spoilt)
    await rotation(place).rotate("1")
    assert place.with_name("secret.previous").read_text() == "the old one\n"
    await rotation(place).settle("1")
    assert sorted(one.name for one in place.parent.iterdir()) == ["secret"]


@pytest.mark.parametrize("at", range(3))
async def test_killed_around_any_write_the_old_one_stays_good_and_the_next_try_ends_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    writes = 0
    write = Folder.write

    def _dies(self: Folder, *arguments: object) -> None:
        nonlocal writes
        if writes == at:
            raise KeyboardInterrupt
        writes += 1
        write(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", _dies)
        with pytest.raises(KeyboardInterrupt):
            await rotation(place).rotate("1")
    assert place.read_text() == "the old one\n"
    await rotation(place).rotate("1")
    assert place.with_name("secret.previous").read_text() == "the old one\n"
    assert place.read_text() != "the old one\n"


async def test_the_note_holds_no_secret(place: Path) -> None:
    await rotation(place).rotate("1")
    key, _ = json.loads(place.with_name("secret.rotation").read_bytes())
    assert key == "1"
    assert place.read_text().strip() not in place.with_name("secret.rotation").read_text()


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("/usr/bin/false",), "rotate.failed"),
        (("/nowhere/rotate",), "rotate.start"),
        (("/usr/bin/sleep", "60"), "rotate.hangs"),
        (("/bin/sh", "-c", "sleep 60 & wait"), "rotate.hangs"),
        (("/usr/bin/yes",), "rotate.hangs"),
    ],
)
async def test_a_command_that_fails_or_hangs_is_said_without_what_it_printed(
    argv: tuple[str, ...], code: str
) -> None:
    one = CommandRotation(argv=argv, within_s=0.3, generate=lambda _: "s3cret")
    with pytest.raises(DependencyError) as refused:
        await one.rotate("1")
    assert refused.value.code == code
    assert "s3cret" not in str(refused.value)


async def test_a_command_gets_its_secret_on_standard_input_alone(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"cat >{seen}; env >>{seen}; tr '\\0' ' ' </proc/$$/cmdline >>{seen}"
    argv = ("/bin/sh", "-c", script)
    await CommandRotation(argv=argv, generate=lambda _: "s3cret").rotate("1")
    lines = seen.read_text()
    assert lines.startswith("s3cret\n")
    assert lines.count("s3cret") == 1


async def test_a_word_of_a_command_is_never_a_shell_s(tmp_path: Path) -> None:
    place = tmp_path / "$(touch x)"
    await CommandRotation(argv=("/usr/bin/touch", str(place))).rotate("1")
    assert place.exists()
