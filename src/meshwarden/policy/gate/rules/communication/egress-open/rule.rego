# METADATA
# title: Traffic out of the mesh is not restricted
# custom:
#   severity: high
#   kinds: [Sidecar, NetworkPolicy, IstioOperator, Istio, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy]
#   fix: use REGISTRY_ONLY, and name the destinations
#   controls:
#     - PCI DSS 4.0.1 1.3.2
#     - GDPR Art. 32(2)
#     - CIS Kubernetes 2.0.1 5.3.2
package meshwarden.communication.egress_open

import data.meshwarden.lib.values

deny contains {
	"msg": "sidecars may reach any destination (ALLOW_ANY)",
	"path": path,
} if {
	input.kind in {"Sidecar", "IstioOperator", "Istio"}
	some path in [["spec", "outboundTrafficPolicy", "mode"], ["spec", "meshConfig", "outboundTrafficPolicy", "mode"], ["spec", "values", "meshConfig", "outboundTrafficPolicy", "mode"]]
	object.get(input, path, "") == "ALLOW_ANY"
}

deny contains {
	"msg": "the egress rule names no peer: any destination is allowed",
	"path": ["spec", "egress", i],
} if {
	input.kind == "NetworkPolicy"
	some i, rule in input.spec.egress
	is_object(rule)
	count(object.get(rule, "to", [])) == 0
	count(object.get(rule, "ports", [])) == 0
}

deny contains {
	"msg": "any address may be reached",
	"path": ["spec", "egress", i, "to", j, "ipBlock", "cidr"],
} if {
	input.kind == "NetworkPolicy"
	some i, rule in input.spec.egress
	some j, peer in rule.to
	peer.ipBlock.cidr in {"0.0.0.0/0", "::/0"}
}

deny contains {
	"msg": concat("", ["toEntities: ", values.text(entity)]),
	"path": ["spec", "egress", i, "toEntities", j],
} if {
	input.kind in {"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"}
	some i, rule in input.spec.egress
	some j, entity in rule.toEntities
	entity in {"all", "world"}
}
