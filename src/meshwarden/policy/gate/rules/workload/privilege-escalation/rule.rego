# METADATA
# title: Process may gain more privileges than its parent
# custom:
#   severity: medium
#   kinds: [workload]
#   fix: set securityContext.allowPrivilegeEscalation to false
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.6
package meshwarden.workload.privilege_escalation

import data.meshwarden.lib.pods

deny contains {
	"msg": concat("", ["container ", found.name, " may escalate privileges"]),
	"path": array.concat(found.path, ["securityContext", "allowPrivilegeEscalation"]),
} if {
	some found in pods.containers
	not found.container.securityContext.allowPrivilegeEscalation == false
	not pods.windows
}
