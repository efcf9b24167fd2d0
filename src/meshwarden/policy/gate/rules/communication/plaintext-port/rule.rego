# METADATA
# title: Port takes or sends plaintext across the mesh's border
# custom:
#   severity: high
#   kinds: [Gateway, Ingress, Service, compose, workload, ConfigMap, terraform]
#   needs: '^kind=(Gateway|Ingress|Service)$|^resource_changes\.|^services\.[^=\n]*\.ports\.|(?i:http|ws|ftp|ldap|amqp|smtp|telnet)://(?!localhost|[a-z0-9.-]*\.(svc|local|internal)\b)[^\s/]*\.'
#   fix: terminate TLS there, or redirect to HTTPS
#   controls:
#     - PCI DSS 4.0.1 4.2.1
#     - PCI DSS 4.0.1 2.2.5
#     - GDPR Art. 32(1)(a)
package meshwarden.communication.plaintext_port

import data.meshwarden.lib.hosts
import data.meshwarden.lib.texts
import data.meshwarden.lib.values

clear_protocols := {"telnet": 23, "ftp": 21, "ldap": 389, "tftp": 69, "rsh": 514, "rlogin": 513, "pop3": 110, "imap": 143}

clear_ports := {number: name | some name, number in clear_protocols}

outward(spec) if spec.type in {"LoadBalancer", "NodePort"}

http_port(port) if port.port in {80, 8080}

http_port(port) if port.appProtocol in {"http", "http2", "kubernetes.io/ws", "kubernetes.io/h2c"}

http_port(port) if regex.match(`^(http|http2|grpc|ws)(-|$)`, object.get(port, "name", ""))

# Istio's Gateway.
deny contains {
	"msg": concat("", ["port ", values.text(server.port.number), " takes ", values.text(server.port.protocol), " without redirecting to HTTPS"]),
	"path": ["spec", "servers", i, "port", "protocol"],
} if {
	input.kind == "Gateway"
	some i, server in input.spec.servers
	upper(server.port.protocol) in {"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "TCP", "MONGO", "REDIS", "MYSQL"}
	object.get(server, ["tls", "httpsRedirect"], false) != true
	not server.tls.mode
}

# The Gateway API's.
deny contains {
	"msg": concat("", ["listener ", values.text(object.get(listener, "name", "?")), " takes plaintext ", values.text(listener.protocol)]),
	"path": ["spec", "listeners", i, "protocol"],
} if {
	input.kind == "Gateway"
	some i, listener in input.spec.listeners
	upper(listener.protocol) in {"HTTP", "TCP"}
	not object.get(input.spec, "gatewayClassName", "") in {"istio-waypoint", "istio-east-west"}
	not redirected
}

redirected if input["meshwarden.dev/context"].redirected == true

deny contains {
	"msg": "the ingress has no TLS",
	"path": ["spec", "tls"],
} if {
	input.kind == "Ingress"
	count(object.get(input.spec, "tls", [])) == 0
}

deny contains {
	"msg": concat("", ["port ", values.text(port.port), " is offered outside the mesh in plaintext"]),
	"path": ["spec", "ports", i, "port"],
} if {
	input.kind == "Service"
	outward(input.spec)
	some i, port in input.spec.ports
	http_port(port)
}

deny contains {
	"msg": concat("", ["port ", values.text(port.port), " is ", values.text(clear_ports[port.port]), ", which has no encryption"]),
	"path": ["spec", "ports", i, "port"],
} if {
	input.kind == "Service"
	some i, port in input.spec.ports
	clear_ports[port.port]
}

deny contains {
	"msg": concat("", [values.text(text.what), " sends plaintext to ", values.text(host)]),
	"path": text.path,
} if {
	some text in texts.all
	some url in hosts.urls(text.value)
	regex.match(`^(http|ws|ftp|ldap|amqp|smtp|telnet)://`, lower(url))
	host := lower(hosts.from_url(url))
	hosts.external(host)
}

deny contains {
	"msg": concat("", ["service ", values.text(service), " publishes ", values.text(port), " in plaintext"]),
	"path": ["services", service, "ports", i],
} if {
	some service, definition in input.services
	some i, entry in definition.ports
	port := published(entry)
	regex.match(`(^|:)(80|8080|21|23|389)(/tcp)?$`, port)
	not startswith(port, "127.0.0.1:")
	not startswith(port, "[::1]:")
}

published(entry) := entry if is_string(entry)

published(entry) := values.text(entry) if is_number(entry)

published(entry) := concat(":", [object.get(entry, "host_ip", "0.0.0.0"), values.text(entry.target)]) if {
	is_object(entry)
	entry.published
}

deny contains {
	"msg": concat("", [values.text(change.address), " listens in plaintext"]),
	"path": ["resource_changes", i, "change", "after", "protocol"],
} if {
	some i, change in input.resource_changes
	change.type in {"aws_lb_listener", "aws_alb_listener"}
	after := change.change.after
	not redirects(after)
	after.protocol == "HTTP"
}

redirects(after) if {
	some action in after.default_action
	some redirect in action.redirect
	redirect.protocol == "HTTPS"
}

deny contains {
	"msg": concat("", [values.text(change.address), " lets viewers use plain HTTP"]),
	"path": ["resource_changes", i, "change", "after", "default_cache_behavior"],
} if {
	some i, change in input.resource_changes
	change.type == "aws_cloudfront_distribution"
	some behaviour in change.change.after.default_cache_behavior
	behaviour.viewer_protocol_policy == "allow-all"
}
