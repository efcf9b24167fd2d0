# METADATA
# title: No limit on memory or processor
# custom:
#   severity: medium
#   kinds: [workload, compose]
#   fix: set resources.limits.memory (and cpu)
#   controls:
#     - GDPR Art. 32(1)(b)
package meshwarden.workload.no_limits

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

# What a LimitRange of the namespace limits; nothing where none is known.
by_default := {resource | some resource in values.context.default_limits}

grade := {"memory": "medium", "cpu": "low"}

deny contains {
	"msg": concat("", ["container ", found.name, " has no limit on ", values.text(resource)]),
	"path": array.concat(found.path, ["resources", "limits", resource]),
	"severity": grade[resource],
} if {
	some found in pods.containers
	not "ephemeralContainers" in found.path
	some resource in ["memory", "cpu"]
	not found.container.resources.limits[resource]
	not resource in by_default
}

compose_limited(definition) if definition.mem_limit

compose_limited(definition) if definition.deploy.resources.limits.memory

deny contains {
	"msg": concat("", ["service ", values.text(service), " has no limit on memory"]),
	"path": ["services", service, "mem_limit"],
} if {
	some service, definition in input.services
	is_object(definition)
	not compose_limited(definition)
}
