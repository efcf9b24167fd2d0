"""The decoders of Envoy's own formats."""

from meshwarden.adapters.envoy.foreign.json_codec import parse_json_fields
from meshwarden.adapters.envoy.foreign.meaning import row_of
from meshwarden.adapters.envoy.foreign.text_codec import ENVOY, parse_text_fields
from meshwarden.adapters.sources.decoder import LineDecoder
from meshwarden.adapters.sources.row import Context


def envoy_json(context: Context) -> LineDecoder:
    """Return the decoder of JSON logs."""
    return LineDecoder(lambda line: row_of(parse_json_fields(line), context))


def envoy_text(context: Context) -> LineDecoder:
    """Return the decoder of the default text format."""
    return LineDecoder(lambda line: row_of(parse_text_fields(line, ENVOY), context))
