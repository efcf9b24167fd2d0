# METADATA
# title: Outside host is not on the list
# custom:
#   severity: high
#   kinds: [workload, ConfigMap, ServiceEntry, Service, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, compose]
#   needs: '^(?!apiVersion=|metadata\.|[^=\n]*(image=|\.metadata\.))[^=\n]*=[^\n]*([A-Za-z0-9]\.([A-Za-z]{2}|(?i:com|org|net|edu|gov|mil|int|info|biz|name|pro|app|dev|cloud|online|site|store|shop|tech|xyz|live|world|bank|finance|financial|money|pay|exchange|capital|services|systems|solutions|network|digital|software|support|email|host|website|space|top|club|page|link|click|work|zone|run|tools|agency|media|news|global|group|company|example|test|invalid))(?![A-Za-z0-9-]|\.[A-Za-z0-9])|[0-9]\.[0-9]+\.[0-9])'
#   fix: add the host to allowed_hosts in the gate's configuration once someone has approved it
#   controls:
#     - PCI DSS 4.0.1 1.3.2
#     - PCI DSS 4.0.1 1.2.5
#     - GDPR Art. 32(1)(b)
#     - GDPR Art. 32(2)
package meshwarden.communication.egress_host

import data.meshwarden.lib.hosts
import data.meshwarden.lib.settings
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", [values.text(call.what), ": ", values.text(call.host), " is not an allowed host"]),
	"path": call.path,
} if {
	some call in hosts.called
	not hosts.is_gateway(call.host)
	not values.listed(call.host, settings.allowed_hosts)
}
