"""The Workload API of a running mesh: who may have which identity, and what each process holds.

`registrations`: the mesh's own services and what `identity register` wrote. `issuance`: SVIDs of
attested processes. `trust`: bundles, JWT keys, federation.
"""
