# METADATA
# title: Container runs as root, or may
# custom:
#   severity: high
#   kinds: [workload, compose]
#   fix: set runAsNonRoot to true and runAsUser to an id above 0
#   controls:
#     - PCI DSS 4.0.1 2.2.6
#     - PCI DSS 4.0.1 7.2.5
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.2.7
package meshwarden.workload.root

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

# The container's setting, else the pod's.
is_root(container) if container.securityContext.runAsUser == 0

is_root(container) if {
	object.get(container, ["securityContext", "runAsUser"], null) == null
	pods.spec.securityContext.runAsUser == 0
}

excluded(container) if container.securityContext.runAsNonRoot == true

excluded(container) if {
	object.get(container, ["securityContext", "runAsNonRoot"], null) == null
	pods.spec.securityContext.runAsNonRoot == true
}

excluded(container) if container.securityContext.runAsUser > 0

excluded(container) if {
	object.get(container, ["securityContext", "runAsUser"], null) == null
	pods.spec.securityContext.runAsUser > 0
}

deny contains {
	"msg": concat("", ["container ", found.name, " runs as root (UID 0)"]),
	"path": array.concat(found.path, ["securityContext", "runAsUser"]),
} if {
	some found in pods.containers
	is_root(found.container)
}

deny contains {
	"msg": concat("", ["container ", found.name, " may run as root: nothing excludes it"]),
	"path": array.concat(found.path, ["securityContext", "runAsNonRoot"]),
	"severity": "medium",
} if {
	not pods.windows
	some found in pods.containers
	not excluded(found.container)
	not is_root(found.container)
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " runs as root"]),
	"path": ["services", service, "user"],
} if {
	some service, definition in input.services
	split(values.text(definition.user), ":")[0] in {"root", "0"}
}
