"""Every detector has its page, which names each of its channels, and is listed in the reference."""

from pathlib import Path

import pytest

from meshwarden.behaviour.detectors import ALL, Detector

REFERENCE = Path("docs/reference")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_detector_has_a_page_that_names_its_channels(kind: type[Detector]) -> None:
    page = (REFERENCE / "detectors" / f"{kind.name}.md").read_text("utf-8")
    flat = " ".join(page.split())
    for channel in kind.channels:
        subject, _, window = channel.rpartition(" ")
        assert channel in flat or (subject in flat and window in flat), channel
    assert f"detectors/{kind.name}.md" in (REFERENCE / "behaviour.md").read_text("utf-8")
