"""Access logs of Envoy proxies that others configured: their JSON keys, or the default text.

`keys` finds out what an operator's key names mean, `text_codec` and `json_codec` turn lines into
`Fields` under canonical names, `meaning` turns those into rows. Istio's logs are Envoy's, with more
to learn from cluster names: see `adapters.istio`.
"""
