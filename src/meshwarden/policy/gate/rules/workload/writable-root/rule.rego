# METADATA
# title: Root file system is writable
# custom:
#   severity: medium
#   kinds: [workload, compose]
#   fix: set readOnlyRootFilesystem to true; mount an emptyDir where it writes
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.6.3
package meshwarden.workload.writable_root

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", ["container ", found.name, " may write to its root file system"]),
	"path": array.concat(found.path, ["securityContext", "readOnlyRootFilesystem"]),
} if {
	some found in pods.containers
	not found.container.securityContext.readOnlyRootFilesystem == true
	not pods.windows
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " may write to its root file system"]),
	"path": ["services", service, "read_only"],
	"severity": "low",
} if {
	some service, definition in input.services
	is_object(definition)
	object.get(definition, "read_only", false) != true
}
