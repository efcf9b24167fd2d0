"""SPIFFE on the wire: the Workload API for local processes, bundle endpoints for other domains.

- `attestation`: which process is at the other end of a Unix socket, by the kernel's word.
- `messages`: the messages of the Workload API. `workload_api`: its five methods.
- `grpc_call`, `grpc_framing`, `grpc_stream`: gRPC over one accepted socket.
- `listening`: where the socket may be. `callers`: who is connected, and what bounds them.
- `connection`: one caller. `server`: all of them.
- `bundle_endpoint`, `bundle_client`: federation.
"""
