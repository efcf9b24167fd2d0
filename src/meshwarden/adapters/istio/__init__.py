"""Access logs of Istio's proxies: Envoy's, with cluster names that tell direction and service."""
