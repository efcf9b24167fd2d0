# METADATA
# title: Traffic goes around the sidecar
# custom:
#   severity: high
#   kinds: [workload, Namespace]
#   needs: 'istio|linkerd|\.runAsUser=(1337|2102)$'
#   fix: remove the exception
#   controls:
#     - PCI DSS 4.0.1 1.3.1
#     - PCI DSS 4.0.1 4.2.1
#     - GDPR Art. 32(1)(a)
package meshwarden.communication.sidecar_bypass

import data.meshwarden.lib.pods
import data.meshwarden.lib.values

# Ports and addresses that are left out of redirection.
excluding := {
	"traffic.sidecar.istio.io/excludeInboundPorts",
	"traffic.sidecar.istio.io/excludeOutboundPorts",
	"traffic.sidecar.istio.io/excludeOutboundIPRanges",
	"traffic.sidecar.istio.io/excludeInterfaces",
	"config.linkerd.io/skip-inbound-ports",
	"config.linkerd.io/skip-outbound-ports",
	"config.linkerd.io/skip-subnets",
}

# Redirection of some only: whatever is not listed goes around.
including := {
	"traffic.sidecar.istio.io/includeInboundPorts",
	"traffic.sidecar.istio.io/includeOutboundPorts",
	"traffic.sidecar.istio.io/includeOutboundIPRanges",
}

switched_off := {
	"sidecar.istio.io/inject": {"false", "n", "no"},
	"linkerd.io/inject": {"disabled"},
	"sidecar.istio.io/interceptionMode": {"NONE"},
	"istio-injection": {"disabled"},
	"istio.io/dataplane-mode": {"none"},
	"ambient.istio.io/redirection": {"disabled"},
}

deny contains {
	"msg": concat("", [values.text(note.key), " takes ", values.text(note.value), " out of the mesh"]),
	"path": note.path,
} if {
	some note in pods.notes
	note.key in excluding
	trim_space(note.value) != ""
}

deny contains {
	"msg": concat("", [values.text(note.key), " leaves out all but \"", values.text(note.value), "\""]),
	"path": note.path,
} if {
	some note in pods.notes
	note.key in including
	trim_space(note.value) != "*"
}

deny contains {
	"msg": concat("", [values.text(note.key), ": ", values.text(note.value), " switches the sidecar off"]),
	"path": note.path,
} if {
	some note in pods.notes
	lower(values.text(note.value)) in {lower(value) | some value in switched_off[note.key]}
}

proxies := {"istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init"}

own_ids := {1337, 2102}

deny contains {
	"msg": concat("", ["container ", found.name, " runs as UID ", values.text(id), ", whose traffic is not redirected"]),
	"path": array.concat(found.path, ["securityContext", "runAsUser"]),
} if {
	some found in pods.containers
	not found.name in proxies
	id := found.container.securityContext.runAsUser
	id in own_ids
}

deny contains {
	"msg": concat("", ["the pod runs as UID ", values.text(pods.spec.securityContext.runAsUser), ", whose traffic is not redirected"]),
	"path": array.concat(pods.spec_path, ["securityContext", "runAsUser"]),
} if {
	pods.spec.securityContext.runAsUser in own_ids
}
