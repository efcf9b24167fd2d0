"""Paths: the one meaning of a request's path, and the patterns that rules match it with.

A path is compared after `normalize_path`, which is what Envoy 1.40 does under `normalize_path`,
`merge_slashes` and `path_with_escaped_slashes_action: REJECT_REQUEST`, and after that the refusal
of all that does not fit `CLEAN_PATH`. The compiled Envoy filter carries the same expression, so
that what Envoy leaves ambiguous (`%zz`, or `/%2e%2e;x/` that becomes `/..;x/`) reaches no service.
Why each step is as it is: docs/decisions/0002-path-normalization.md.

A pattern is a literal path in which a whole segment may be `{name}` (exactly one segment, not
empty) and the end may be `/**` (one or more further segments).

>>> normalize_path("/v1//accounts/%37/../8?full=1")
'/v1/accounts/8'
>>> PathPattern.parse("/v1/accounts/{id}").matches("/v1/accounts/8")
True
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from meshwarden.kernel import InputError

MAX_PATTERN_LENGTH: Final = 1024

# Escapes that mean the same however often they are decoded: not the unreserved characters (they
# were decoded already, so what is left of them was hidden by a malformed escape), not "/" and "\"
# (2F, 5C), not NUL.
_ESCAPE: Final = (
    "%(?:0[1-9A-Fa-f]|1[0-9A-Fa-f]|2[0-9A-Ca-c]|3[A-Fa-f]|40|5[BDEbde]|60|7[BCDFbcdf]"
    "|[89A-Fa-f][0-9A-Fa-f])"
)
_PLAIN: Final = r"A-Za-z0-9_~!$&'()*+,=:@\[\]\-"
_CHARACTER: Final = rf"(?:[{_PLAIN};.]|{_ESCAPE})"
_NO_DOT_START: Final = rf"(?:[{_PLAIN};]|{_ESCAPE}){_CHARACTER}*"
_DOT_START: Final = rf"\.\.?(?:(?:[{_PLAIN}]|{_ESCAPE}){_CHARACTER}*)|\.\.\.{_CHARACTER}*"
CLEAN_SEGMENT: Final = f"(?:{_NO_DOT_START}|{_DOT_START})"
# RE2 and Python's re read it alike. No empty segment, no dot segment with or without parameters.
CLEAN_PATH: Final = f"/(?:{CLEAN_SEGMENT}/)*{CLEAN_SEGMENT}?"
_CLEAN = re.compile(CLEAN_PATH)
UNCHANGED_PATH: Final = r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?"
"""Paths that are normal as they are; most are."""
_UNCHANGED = re.compile(UNCHANGED_PATH)

_RAW = re.compile(r"/[^\x00-\x20\x7f]*")  # Envoy's parsers refuse all else with status 400
_FORBIDDEN_ESCAPE = re.compile(r"%(2f|5c)", re.IGNORECASE)
_DOT_SEGMENT_PARAMETERS = re.compile(r"(?<=/)(\.\.?);[^/]*")
_TOKEN = re.compile(r"%[0-9A-Fa-f]{2}|.")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")
_LITERAL = re.compile(r"[A-Za-z0-9_~!$&'()+,;=:@.-]*")
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}")
_ESCAPED_BY_ENVOY = str.maketrans({character: f"%{ord(character):02X}" for character in '"<>^`{|}'})


@lru_cache(maxsize=64)  # one request is compared with many rules
def normalize_path(raw: str) -> str | None:
    """Return the path that rules are compared with; None where such a request is refused.

    Args:
        raw: the `:path` as sent, with its query; other than ASCII stands for its UTF-8 bytes.
    """
    return raw if _UNCHANGED.fullmatch(raw) else normalize_in_full(raw)


def normalize_in_full(raw: str) -> str | None:
    """Return the same, whatever the path looks like."""
    # 1. What is no path: an authority, `*`, control characters or spaces, a fragment.
    if not _RAW.fullmatch(raw) or "#" in raw:
        return None
    path = raw.partition("?")[0]
    # 2. A slash or backslash that only some servers would see.
    if _FORBIDDEN_ESCAPE.search(path):
        return None
    # 3. `/..;x/` is a dot segment to servers that know path parameters: it is one here.
    path = _DOT_SEGMENT_PARAMETERS.sub(r"\1", path)
    if "%00" in path:
        return None
    # 4. The URL standard's reading: `\` is `/`, unreserved characters bare, unusual ones escaped.
    path = _decode_unreserved(path.replace("\\", "/")).translate(_ESCAPED_BY_ENVOY)
    path = _resolve_dot_segments(path)
    # 5. Doubled slashes are one; nothing but slashes stays `//` and is refused by step 6.
    path = _merge_slashes(path)
    # 6. What would still mean different things to different servers.
    return path if _CLEAN.fullmatch(path) else None


def _decode_unreserved(path: str) -> str:
    """Decode once; a `%` that decoding would complete to an escape (`%2%41`) becomes `%25`."""
    tokens = _TOKEN.findall(path)
    decoded = [_decoded(token) for token in tokens]
    for index in range(len(tokens) - 2):
        pair = decoded[index + 1] + decoded[index + 2]
        if decoded[index] == "%" and _HEX_PAIR.fullmatch(pair):
            decoded[index] = "%25"
    return "".join(decoded)


def _decoded(token: str) -> str:
    if len(token) == 1:
        return token if token.isascii() else "".join(f"%{byte:02X}" for byte in token.encode())
    character = chr(int(token[1:], 16))
    return character if character in _UNRESERVED else token


def _resolve_dot_segments(path: str) -> str:
    kept: list[str] = []
    segments = path[1:].split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _merge_slashes(path: str) -> str:
    if "//" not in path:
        return path
    merged = "/" + "/".join(segment for segment in path.split("/") if segment)
    return merged + "/" if path.endswith("/") else merged


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """What a rule says of paths; equal where it matches the same paths, whatever the names.

    Attributes:
        text: the pattern as written.
        segments: literal text, or None for `{name}`; the last may be "" (a trailing slash).
        rest: whether one or more further segments follow (`/**`).
    """

    text: str = field(compare=False)
    segments: tuple[str | None, ...]
    rest: bool = False

    @classmethod
    def parse(cls, text: str, *, where: str = "path") -> "PathPattern":
        """Return the pattern `text`; InputError `policy.path` where no request can match it."""
        if not text.startswith("/"):
            raise _impossible(text, where, "does not start with a slash", f"write /{text}")
        if len(text) > MAX_PATTERN_LENGTH:
            raise _impossible(text, where, f"longer than {MAX_PATTERN_LENGTH} characters", "")
        rest = text.endswith("/**")
        written = (text.removesuffix("/**") if rest else text).split("/")[1:]
        if "" in (written if rest else written[:-1]):
            raise _impossible(text, where, "has a doubled slash", "requests have theirs merged")
        segments = tuple(_parse_segment(segment, text, where) for segment in written)
        return cls(text=text, segments=segments, rest=rest)

    def matches(self, path: str) -> bool:
        """Return whether a normalized path fits."""
        found = path[1:].split("/")
        if self.rest:
            further = found[len(self.segments) :]
            if not further or not further[0]:
                return False
        elif len(found) != len(self.segments):
            return False
        for wanted, segment in zip(self.segments, found, strict=False):
            if segment != wanted if wanted is not None else not segment:
                return False
        return True

    @property
    def literal_prefix(self) -> str:
        """The text that each matching path starts with: all of it up to the first wildcard."""
        prefix = "/" + "/".join(self.segments[: self._first_wildcard])  # type: ignore[arg-type]
        return prefix + "/" if prefix != "/" and not self.is_literal else prefix

    @property
    def is_literal(self) -> bool:
        """Whether exactly one path matches."""
        return not self.rest and None not in self.segments

    @property
    def _first_wildcard(self) -> int:
        return self.segments.index(None) if None in self.segments else len(self.segments)


def _parse_segment(segment: str, text: str, where: str) -> str | None:
    if _PLACEHOLDER.fullmatch(segment):
        return None
    if segment in {".", ".."} or segment.startswith((".;", "..;")):
        raise _impossible(text, where, "has a dot segment", "requests have theirs resolved")
    if _LITERAL.fullmatch(segment):
        return segment
    hints = {
        "{": "a placeholder is a whole segment with a name: /v1/accounts/{id}",
        "*": "wildcards are a whole segment {name}, and /** at the end",
        "?": "paths are compared without the query; leave it out",
        "#": "a fragment never reaches a server; leave it out",
        "%": "write unreserved characters bare; for others use a placeholder segment",
    }
    offender = next(character for character in segment if not _LITERAL.fullmatch(character))
    offender = "{" if offender == "}" else offender
    hint = hints.get(offender, "such a character arrives escaped; use a placeholder segment")
    raise _impossible(text, where, f"{segment[:40]!r} cannot stand in a path", hint)


def _impossible(text: str, where: str, why: str, hint: str) -> InputError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return InputError(
        "policy.path", f"no request can match {shown!r}: {why}", where=where, hint=hint
    )
