# METADATA
# title: Service is reachable from outside the cluster without a reason
# custom:
#   severity: high
#   kinds: [Service, workload]
#   needs: '=(LoadBalancer|NodePort)$|externalIPs|\.hostPort='
#   fix: use ClusterIP behind the gateway, or state the reason in annotation meshwarden.dev/reason
#   controls:
#     - PCI DSS 4.0.1 1.4.2
#     - PCI DSS 4.0.1 1.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.12
package meshwarden.communication.exposed_service

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

reasoned if count(trim_space(object.get(input, ["metadata", "annotations", "meshwarden.dev/reason"], ""))) > 0

only_inside if {
	some key, value in input.metadata.annotations
	regex.match(`(load-balancer-internal|load-balancer-type|loadbalancer-internal|aws-load-balancer-scheme)$`, key)
	lower(value) in {"true", "internal", "0.0.0.0/0"}
}

grade := "medium" if only_inside

grade := "high" if not only_inside

deny contains {
	"msg": concat("", ["the service is of type ", values.text(input.spec.type), ", and no annotation gives the reason"]),
	"path": ["spec", "type"],
	"severity": grade,
} if {
	input.kind == "Service"
	input.spec.type in {"LoadBalancer", "NodePort"}
	not reasoned
}

deny contains {
	"msg": "the service has external addresses",
	"path": ["spec", "externalIPs"],
} if {
	input.kind == "Service"
	count(object.get(input.spec, "externalIPs", [])) > 0
	not reasoned
}

deny contains {
	"msg": concat("", ["container ", found.name, " takes port ", values.text(port.hostPort), " of its node"]),
	"path": array.concat(found.path, ["ports", i, "hostPort"]),
} if {
	some found in pods.containers
	some i, port in found.container.ports
	port.hostPort > 0
	not reasoned
}
