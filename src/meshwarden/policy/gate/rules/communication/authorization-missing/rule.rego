# METADATA
# title: Nothing says who may call this workload
# custom:
#   severity: medium
#   kinds: [Deployment, StatefulSet, DaemonSet, Pod, ReplicaSet]
#   fix: add an AuthorizationPolicy (or NetworkPolicy) that names the callers
#   controls:
#     - PCI DSS 4.0.1 7.2.5
#     - PCI DSS 4.0.1 7.3.3
#     - PCI DSS 4.0.1 1.3.1
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.3.2
package meshwarden.communication.authorization_missing

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

listens if {
	some found in pods.containers
	count(object.get(found.container, "ports", [])) > 0
}

deny contains {
	"msg": concat("", [values.text(input.kind), " ", values.text(input.metadata.name), " opens a port, and nothing in the input says who may call it"]),
	"path": ["metadata", "name"],
} if {
	values.context.authorization == false
	listens
}
