"""The two decoders of Envoy's own formats, and of any format made of canonical fields."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshwarden.adapters.envoy.foreign.json_codec import parse_json_fields
from meshwarden.adapters.envoy.foreign.meaning import row_of
from meshwarden.adapters.envoy.foreign.text_codec import ENVOY, parse_text_fields
from meshwarden.adapters.sources.row import Context, Row


class FieldsDecoder:
    """One line, one call: `parse` gives the fields, `meaning` the row. Implements `Decoder`."""

    def __init__(
        self,
        context: Context,
        parse: Callable[[bytes], Mapping[str, Any]],
        meaning: Callable[[Mapping[str, Any], Context], Row] = row_of,
    ) -> None:
        self._context = context
        self._parse = parse
        self._meaning = meaning

    def decode(self, line: bytes) -> Sequence[Row]:
        """Return the one call of `line`; InputError `source.line`."""
        return (self._meaning(self._parse(line), self._context),)

    def finish(self) -> Sequence[Row]:
        """Return nothing: no line waits for another."""
        return ()


def envoy_json(context: Context) -> FieldsDecoder:
    """Return the decoder of JSON logs."""
    return FieldsDecoder(context, parse_json_fields)


def envoy_text(context: Context) -> FieldsDecoder:
    """Return the decoder of the default text format."""
    return FieldsDecoder(context, lambda line: parse_text_fields(line, ENVOY))
