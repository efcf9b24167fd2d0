"""SPIFFE on the wire: the Workload API for local processes, bundle endpoints for other domains.

- `attestation`: which process is at the other end of a Unix socket, by the kernel's word.
- `messages`: the messages of the Workload API. `grpc_stream`: gRPC over one accepted socket.
- `workload_api`: the five methods. `server`: the socket, and what bounds its callers.
- `bundle_endpoint`, `bundle_client`: federation.
"""
