# METADATA
# title: Wildcard instead of a host
# custom:
#   severity: medium
#   kinds: [ServiceEntry, Gateway, VirtualService, Ingress, HTTPRoute, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy]
#   fix: name the hosts
#   controls:
#     - PCI DSS 4.0.1 1.3.1
#     - PCI DSS 4.0.1 1.3.2
#     - GDPR Art. 32(1)(b)
package meshwarden.communication.wildcard_host

import data.meshwarden.lib.values

# "*", "*.com": everything, or a whole top-level domain.
broad(host) if host == "*"

broad(host) if regex.match(`^\*\.[a-z]+$`, host)

# Istio allows namespace/host.
plain(host) := parts[count(parts) - 1] if parts := split(host, "/")

deny contains {
	"msg": concat("", ["the way out is open for every host under ", values.text(host)]),
	"path": ["spec", "hosts", i],
	"severity": "high",
} if {
	input.kind == "ServiceEntry"
	some i, host in input.spec.hosts
	startswith(host, "*")
}

deny contains {
	"msg": concat("", ["the gateway answers for ", values.text(host)]),
	"path": ["spec", "servers", i, "hosts", j],
} if {
	input.kind == "Gateway"
	some i, server in input.spec.servers
	object.get(server, ["tls", "httpsRedirect"], false) != true
	some j, host in server.hosts
	broad(plain(host))
}

deny contains {
	"msg": concat("", ["listener ", values.text(object.get(listener, "name", "?")), " answers for any host"]),
	"path": ["spec", "listeners", i, "hostname"],
} if {
	input.kind == "Gateway"
	some i, listener in input.spec.listeners
	upper(object.get(listener, "protocol", "")) in {"HTTP", "HTTPS", "TLS"}
	broad(object.get(listener, "hostname", "*"))
}

deny contains {
	"msg": concat("", ["the route takes ", values.text(host)]),
	"path": ["spec", "hosts", i],
} if {
	input.kind == "VirtualService"
	some i, host in input.spec.hosts
	broad(host)
}

deny contains {
	"msg": "the rule answers for any host",
	"path": ["spec", "rules", i, "host"],
} if {
	input.kind == "Ingress"
	some i, rule in input.spec.rules
	broad(object.get(rule, "host", "*"))
}

deny contains {
	"msg": "the default backend answers for any host",
	"path": ["spec", "defaultBackend"],
} if {
	input.kind == "Ingress"
	input.spec.defaultBackend
	count(object.get(input.spec, "rules", [])) == 0
}

deny contains {
	"msg": concat("", ["the way out is open for ", values.text(entry.matchPattern)]),
	"path": ["spec", "egress", i, "toFQDNs", j, "matchPattern"],
	"severity": "high",
} if {
	input.kind in {"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"}
	some i, rule in input.spec.egress
	some j, entry in rule.toFQDNs
	contains(entry.matchPattern, "*")
}
