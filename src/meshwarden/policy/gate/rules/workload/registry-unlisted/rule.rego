# METADATA
# title: Image comes from a registry that is not on the list
# custom:
#   severity: high
#   kinds: [workload, compose]
#   needs: '\.image='
#   fix: take it from a listed registry, or add the registry to the configuration
#   controls:
#     - PCI DSS 4.0.1 6.3.2
#     - GDPR Art. 32(1)(b)
#     - CIS Kubernetes 2.0.1 5.5.1
package meshwarden.workload.registry_unlisted

import data.meshwarden.lib.images
import data.meshwarden.lib.settings
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", [values.text(found.what), ": image ", values.text(found.image), " comes from ", values.text(images.registry(found.image)), ", which is not a listed registry"]),
	"path": found.path,
} if {
	count(settings.registries) > 0
	some found in images.used
	not listed(found.image)
}

listed(image) if images.registry(image) in settings.registries

listed(image) if {
	some prefix in settings.registries
	startswith(images.full_name(image), concat("", [trim_suffix(prefix, "/"), "/"]))
}
