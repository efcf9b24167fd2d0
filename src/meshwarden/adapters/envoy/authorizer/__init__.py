"""The remote authorizer: what Envoy asks it, what it hears, and what it answers.

- `filters`: the filters that ask it, in a sidecar's listeners. `edge_routes`: what an edge lets in.
- `codec`: messages into values and back; `ports`: who decides. `server`: its socket.

It is asked where a decision needs live state alone: at the edge, and for tokens that count once.
"""
