"""The account that a program runs as, looked up before anything is started."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from meshwarden.kernel import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this machine and the groups it is in; `capability` is the one that it keeps."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    capability: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a login would set."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    def may_enter(self, directory: Path) -> bool:
        """Return whether the mode bits of `directory` let this account pass through it."""
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid in self.groups:
            return bool(status.st_mode & 0o010)
        return self.uid == 0 or bool(status.st_mode & 0o001)


def find_account(user: str, *, asker: str) -> Account:
    """Return the account named `user`; ConfigError `process.user` where it cannot be taken on."""
    if os.geteuid() != 0:
        raise ConfigError(
            "process.user",
            f"{asker} is to run as {user!r}, which only root can start",
            hint="run as root, or remove `user`",
        )
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            "process.user", f"{asker} is to run as {user!r}, which is no account of this machine"
        ) from None
    return Account(
        name=user,
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        groups=tuple(os.getgrouplist(user, entry.pw_gid)),
        home=entry.pw_dir,
    )


def open_to_others(path: Path) -> bool:
    """Return whether an unprivileged account can reach `path` (a clone below /root hides it)."""
    places = {*path.absolute().parents, *path.resolve().parents}
    return all(place.stat().st_mode & stat.S_IXOTH for place in places)
