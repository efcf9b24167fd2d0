# METADATA
# title: Policy allows every caller
# custom:
#   severity: high
#   kinds: [AuthorizationPolicy, NetworkPolicy, MeshTLSAuthentication, NetworkAuthentication, Server, ServerAuthorization, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, Namespace, workload]
#   needs: '^kind=(?!Deployment|StatefulSet|DaemonSet|ReplicaSet|Pod|Job|CronJob|Namespace)|config\.linkerd\.io/default-inbound-policy'
#   fix: name the callers
#   controls:
#     - PCI DSS 4.0.1 7.2.5
#     - PCI DSS 4.0.1 7.3.3
#     - PCI DSS 4.0.1 1.3.1
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.3.2
package meshwarden.communication.authorization_allow_all

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

for_gateway if regex.match(`gateway`, lower(values.text(object.get(input.spec, ["selector", "matchLabels"], {}))))

for_gateway if {
	some target in object.get(input.spec, "targetRefs", [])
	target.kind in {"Gateway", "GatewayClass"}
}

for_gateway if input.spec.targetRef.kind in {"Gateway", "GatewayClass"}

istio_allow if {
	input.kind == "AuthorizationPolicy"
	startswith(input.apiVersion, "security.istio.io/")
	object.get(input.spec, "action", "ALLOW") == "ALLOW"
	not for_gateway
}

# Istio: a rule without `from` and `when` is met by anyone.
deny contains {
	"msg": "the rule names no caller: everyone is allowed",
	"path": ["spec", "rules", i],
} if {
	istio_allow
	some i, rule in input.spec.rules
	count(object.get(rule, "from", [])) == 0
	count(object.get(rule, "when", [])) == 0
}

deny contains {
	"msg": concat("", [values.text(field), " \"", values.text(value), "\" means everyone"]),
	"path": ["spec", "rules", i, "from", j, "source", field, k],
} if {
	istio_allow
	some i, rule in input.spec.rules
	count(object.get(rule, "when", [])) == 0
	some j, from in rule.from
	count(object.keys(from.source)) == 1
	some field in ["principals", "namespaces", "ipBlocks", "remoteIpBlocks", "serviceAccounts"]
	some k, value in from.source[field]
	value in {"*", "*/*", "*/ns/*", "0.0.0.0/0", "::/0"}
}

deny contains {
	"msg": "an empty source means everyone",
	"path": ["spec", "rules", i, "from", j],
} if {
	istio_allow
	some i, rule in input.spec.rules
	count(object.get(rule, "when", [])) == 0
	some j, from in rule.from
	count(object.get(from, "source", {})) == 0
}

# NetworkPolicy: an ingress rule without `from`, or from everywhere.
deny contains {
	"msg": "the ingress rule names no peer: everyone may connect",
	"path": ["spec", "ingress", i],
} if {
	input.kind == "NetworkPolicy"
	some i, rule in input.spec.ingress
	is_object(rule)
	count(object.get(rule, "from", [])) == 0
}

deny contains {
	"msg": "every namespace, or every address, may connect",
	"path": ["spec", "ingress", i, "from", j],
} if {
	input.kind == "NetworkPolicy"
	some i, rule in input.spec.ingress
	some j, peer in rule.from
	everywhere(peer)
}

everywhere(peer) if {
	count(peer.namespaceSelector) == 0
	count(object.get(peer, "podSelector", {})) == 0
}

everywhere(peer) if peer.ipBlock.cidr in {"0.0.0.0/0", "::/0"}

deny contains {
	"msg": concat("", ["fromEntities: ", values.text(entity)]),
	"path": ["spec", "ingress", i, "fromEntities", j],
} if {
	input.kind in {"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"}
	some i, rule in input.spec.ingress
	some j, entity in rule.fromEntities
	entity in {"all", "world", "cluster"}
}

# Linkerd.
deny contains {
	"msg": "every identity is allowed",
	"path": ["spec", "identities", i],
} if {
	input.kind == "MeshTLSAuthentication"
	some i, identity in input.spec.identities
	identity == "*"
}

deny contains {
	"msg": "every address is allowed",
	"path": ["spec", "networks", i, "cidr"],
} if {
	input.kind == "NetworkAuthentication"
	some i, network in input.spec.networks
	network.cidr in {"0.0.0.0/0", "::/0"}
	count(object.get(network, "except", [])) == 0
}

open_defaults := {"all-unauthenticated", "cluster-unauthenticated", "all-authenticated"}

deny contains {
	"msg": concat("", ["accessPolicy ", values.text(input.spec.accessPolicy)]),
	"path": ["spec", "accessPolicy"],
} if {
	input.kind == "Server"
	input.spec.accessPolicy in open_defaults
}

deny contains {
	"msg": "clients without identity are allowed",
	"path": ["spec", "client", "unauthenticated"],
} if {
	input.kind == "ServerAuthorization"
	input.spec.client.unauthenticated == true
}

deny contains {
	"msg": concat("", [values.text(note.key), ": ", values.text(note.value)]),
	"path": note.path,
} if {
	some note in pods.notes
	note.key == "config.linkerd.io/default-inbound-policy"
	note.value in open_defaults
}
