"""OCSF 1.8: findings as Detection Finding events, as security data lakes and SIEMs read them."""

from meshwarden.adapters.ocsf.render import OCSF_VERSION, render_detection, uid_of

__all__ = ["OCSF_VERSION", "render_detection", "uid_of"]
