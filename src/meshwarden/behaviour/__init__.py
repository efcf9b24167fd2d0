"""Is this normal? Learns who calls whom, how often, how much; says what is not, within a budget."""

from meshwarden.behaviour.model import Model, Scored
from meshwarden.behaviour.settings import Settings

__all__ = ["Model", "Scored", "Settings"]
