# METADATA
# title: Nothing demands mutual TLS in a meshed namespace
# custom:
#   severity: medium
#   kinds: [Namespace]
#   fix: add a PeerAuthentication with mtls.mode STRICT
#   controls:
#     - PCI DSS 4.0.1 4.2.1
#     - GDPR Art. 32(1)(a)
package meshwarden.communication.mtls_missing

import data.meshwarden.lib.values

deny contains {
	"msg": concat("", ["namespace ", values.text(input.metadata.name), " joins the mesh, and nothing in the input demands mutual TLS there"]),
	"path": ["metadata", "labels"],
} if {
	input.kind == "Namespace"
	values.context.mesh == "istio"
	values.context.mtls == ""
}
