# METADATA
# title: Container runs privileged
# custom:
#   severity: critical
#   kinds: [workload, compose]
#   needs: 'privileged=(true|True)'
#   fix: remove privileged; add the one capability that is needed
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.2
package meshwarden.workload.privileged

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", ["container ", found.name, " is privileged"]),
	"path": array.concat(found.path, ["securityContext", "privileged"]),
} if {
	some found in pods.containers
	found.container.securityContext.privileged == true
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " is privileged"]),
	"path": ["services", service, "privileged"],
} if {
	some service, definition in input.services
	definition.privileged == true
}
