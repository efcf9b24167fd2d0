# METADATA
# title: Default capabilities are not dropped
# custom:
#   severity: low
#   kinds: [workload]
#   fix: add securityContext.capabilities.drop [ALL]
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - CIS Kubernetes 2.0.1 5.2.9
package meshwarden.workload.capabilities_kept

import data.meshwarden.lib.pods

drops_all(container) if {
	some capability in container.securityContext.capabilities.drop
	upper(capability) in {"ALL", "CAP_ALL"}
}

deny contains {
	"msg": concat("", ["container ", found.name, " keeps its default capabilities"]),
	"path": array.concat(found.path, ["securityContext", "capabilities", "drop"]),
} if {
	some found in pods.containers
	not drops_all(found.container)
}
