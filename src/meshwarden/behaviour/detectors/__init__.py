"""Detectors: one file each, all behind `contract.Detector`; `ALL` in the channels' order."""

from typing import Final

from meshwarden.behaviour.detectors.contract import Detector
from meshwarden.behaviour.detectors.credentials import Credentials
from meshwarden.behaviour.detectors.rate import Rate
from meshwarden.behaviour.detectors.rhythm import Rhythm
from meshwarden.behaviour.detectors.scan import Scan
from meshwarden.behaviour.detectors.shape import Shape
from meshwarden.behaviour.detectors.silence import Silence
from meshwarden.behaviour.detectors.topology import Topology
from meshwarden.behaviour.detectors.volume import Volume
from meshwarden.behaviour.settings import Settings

ALL: Final[tuple[type[Detector], ...]] = (
    Rate,
    Topology,
    Scan,
    Volume,
    Shape,
    Rhythm,
    Credentials,
    Silence,
)


def build(settings: Settings) -> tuple[Detector, ...]:
    """Return one of each, empty."""
    return tuple(kind(settings) for kind in ALL)  # type: ignore[call-arg]


__all__ = ["ALL", "Detector", "build"]
