"""OTLP JSON lines into rows, by way of spans and pairs.

Where one span of a line cannot be read, the others of that line still count; the decoder then
raises after having kept them, and hands them on with the next line.
"""

from collections.abc import Sequence

from meshwarden.adapters.opentelemetry.json_codec import looks_like_otlp, parse_spans
from meshwarden.adapters.opentelemetry.pairing import Pairing
from meshwarden.adapters.opentelemetry.span import Span
from meshwarden.adapters.sources.fields import parse_object
from meshwarden.adapters.sources.row import Context, Row, refuse
from meshwarden.kernel import InputError


class OtlpDecoder:
    """The spans of one run, from however many files; implements `Decoder`."""

    def __init__(self, context: Context) -> None:
        self._pairing = Pairing(domain=context.trust_domain)
        self._ready: list[Row] = []

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the calls that the spans of `line` complete; InputError `source.line`."""
        found = parse_object(line)
        if not looks_like_otlp(found):
            refuse("no resourceSpans")
        error: InputError | None = None
        for span in parse_spans(found):
            if isinstance(span, InputError):
                error = span
            else:
                self.take(span)
        if error is not None:
            raise error
        return self.given()

    def joined(self, context: Context) -> "OtlpDecoder":  # noqa: ARG002  # spans say whose they are
        """Return the decoder of another file of the same run: this one."""
        return self

    def finish(self) -> Sequence[Row]:
        """Return the calls of all spans that never met their other half."""
        return [*self.given(), *self._pairing.finish()]

    def take(self, span: Span) -> None:
        """Take one span, for `given`."""
        self._ready.extend(self._pairing.add(span))

    def given(self) -> list[Row]:
        """Return the calls that were completed since the last time."""
        ready, self._ready = self._ready, []
        return ready
