"""The machine's randomness, as the port `Chance`."""

import secrets

SERIAL_BITS = 127  # positive, and well above 64 bits of entropy


class SystemChance:
    """Numbers nobody can guess."""

    def serial(self) -> int:
        """Return a certificate serial number of exactly `SERIAL_BITS` bits."""
        return secrets.randbits(SERIAL_BITS) | 1 << (SERIAL_BITS - 1)

    def uniform(self) -> float:
        """Return a number of [0, 1)."""
        return secrets.randbits(53) / (1 << 53)
