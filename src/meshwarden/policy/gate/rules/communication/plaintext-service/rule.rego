# METADATA
# title: Service speaks plaintext outside a mesh
# custom:
#   severity: medium
#   kinds: [Service]
#   fix: join the namespace to the mesh, with mutual TLS STRICT
#   controls:
#     - PCI DSS 4.0.1 4.2.1
#     - GDPR Art. 32(1)(a)
package meshwarden.communication.plaintext_service

import data.meshwarden.lib.values

plain(port) if port.port in {80, 8080, 8000, 3000, 5000, 9090}

plain(port) if port.appProtocol in {"http", "http2", "kubernetes.io/h2c", "kubernetes.io/ws"}

plain(port) if regex.match(`^(http|http2|grpc|tcp|redis|mongo|mysql)(-|$)`, object.get(port, "name", ""))

secured(port) if port.appProtocol in {"https", "tls", "kubernetes.io/wss"}

secured(port) if regex.match(`^(https|tls|grpcs|wss)(-|$)`, object.get(port, "name", ""))

secured(port) if port.port in {443, 8443}

deny contains {
	"msg": concat("", ["port ", values.text(port.port), " speaks plaintext, and nothing in the input joins it to a mesh"]),
	"path": ["spec", "ports", i, "port"],
} if {
	input.kind == "Service"
	object.get(input.spec, "type", "ClusterIP") == "ClusterIP"
	values.context.mesh == ""
	some i, port in input.spec.ports
	plain(port)
	not secured(port)
}
