# METADATA
# title: Mutual TLS is not strict
# custom:
#   severity: high
#   kinds: [PeerAuthentication, DestinationRule, IstioOperator, Istio]
#   fix: "set mtls.mode to STRICT (DestinationRule: tls.mode ISTIO_MUTUAL)"
#   controls:
#     - PCI DSS 4.0.1 4.2.1
#     - PCI DSS 4.0.1 2.2.6
#     - GDPR Art. 32(1)(a)
package meshwarden.communication.mtls_not_strict

import data.meshwarden.lib.values

lax := {"PERMISSIVE", "DISABLE"}

deny contains {
	"msg": concat("", ["mutual TLS is ", values.text(input.spec.mtls.mode)]),
	"path": ["spec", "mtls", "mode"],
} if {
	input.kind == "PeerAuthentication"
	input.spec.mtls.mode in lax
}

deny contains {
	"msg": concat("", ["mutual TLS is ", values.text(setting.mode), " on port ", values.text(port)]),
	"path": ["spec", "portLevelMtls", port, "mode"],
} if {
	input.kind == "PeerAuthentication"
	some port, setting in input.spec.portLevelMtls
	setting.mode in lax
}

deny contains {
	"msg": "TLS towards this host is disabled",
	"path": ["spec", "trafficPolicy", "tls", "mode"],
} if {
	input.kind == "DestinationRule"
	input.spec.trafficPolicy.tls.mode == "DISABLE"
}

deny contains {
	"msg": "TLS towards a port of this host is disabled",
	"path": ["spec", "trafficPolicy", "portLevelSettings", i, "tls", "mode"],
} if {
	input.kind == "DestinationRule"
	some i, setting in input.spec.trafficPolicy.portLevelSettings
	setting.tls.mode == "DISABLE"
}

deny contains {
	"msg": concat("", ["TLS towards subset ", values.text(object.get(subset, "name", "?")), " is disabled"]),
	"path": ["spec", "subsets", i, "trafficPolicy", "tls", "mode"],
} if {
	input.kind == "DestinationRule"
	some i, subset in input.spec.subsets
	subset.trafficPolicy.tls.mode == "DISABLE"
}

deny contains {
	"msg": "sidecars do not start mutual TLS by themselves",
	"path": ["spec", field, "enableAutoMtls"],
} if {
	input.kind in {"IstioOperator", "Istio"}
	some field in ["meshConfig"]
	input.spec[field].enableAutoMtls == false
}
