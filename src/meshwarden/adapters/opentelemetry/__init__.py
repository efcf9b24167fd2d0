"""OpenTelemetry spans as calls: OTLP JSON files and an OTLP/gRPC receiver.

`json_codec` and `proto_codec` read the two encodings into `Span`, `meaning` says what a span's
attributes mean, `pairing` joins the client's span with the server's into one call.
"""
