"""Access logs of Linkerd's proxies: inbound requests, with the identity that mutual TLS proved."""
