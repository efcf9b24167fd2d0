"""Kubernetes: how the container runtime and kubectl wrap the lines of a log."""
