"""Decodes wrapped lines: for each pod a decoder of its own, which knows whose log it reads."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from meshwarden.adapters.kubernetes.logs import unwrap
from meshwarden.adapters.sources.parties import pod_owner
from meshwarden.adapters.sources.row import MAX_LINE_BYTES, Context, Decoder, Row, refuse

_PODS: Final = 4096


class WrappedDecoder:
    """Unwraps lines and hands them on; implements `Decoder`.

    Args:
        make: builds the decoder of the format within.
        context: what is known without the wrapping.
    """

    def __init__(self, make: Callable[[Context], Decoder], context: Context) -> None:
        self._make = make
        self._context = context
        self._decoders: dict[str | None, Decoder] = {}
        self._begun = b""

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the calls of the line within; InputError `source.line`."""
        found = unwrap(line)
        if found is None:
            return self._of(None).decode(line)
        whole = self._begun + found.line
        if found.partial:
            self._begun = whole if len(whole) <= MAX_LINE_BYTES else b""
            if not self._begun:
                refuse("its parts are too long together")
            return ()
        self._begun = b""
        return self._of(found.pod).decode(whole)

    def finish(self) -> Sequence[Row]:
        """Return what the decoders within still hold."""
        return [row for decoder in self._decoders.values() for row in decoder.finish()]

    def _of(self, pod: str | None) -> Decoder:
        if pod not in self._decoders:
            if len(self._decoders) >= _PODS:
                del self._decoders[next(iter(self._decoders))]
            self._decoders[pod] = self._make(self._for(pod))
        return self._decoders[pod]

    def _for(self, pod: str | None) -> Context:
        if pod is None:
            return self._context
        owner = self._context.owner or pod_owner(None, pod, self._context.trust_domain)
        return replace(self._context, owner=owner, instance=pod)
