"""Flows of Cilium's Hubble: connections and, with L7 visibility, requests."""
