# METADATA
# title: External payment gateway is not whitelisted
# custom:
#   severity: critical
#   kinds: [workload, ConfigMap, ServiceEntry, Service, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, compose]
#   needs: '^(?!apiVersion=|metadata\.|[^=\n]*(image=|\.metadata\.))[^=\n]*=[^\n]*([A-Za-z0-9]\.([A-Za-z]{2}|(?i:com|org|net|edu|gov|mil|int|info|biz|name|pro|app|dev|cloud|online|site|store|shop|tech|xyz|live|world|bank|finance|financial|money|pay|exchange|capital|services|systems|solutions|network|digital|software|support|email|host|website|space|top|club|page|link|click|work|zone|run|tools|agency|media|news|global|group|company|example|test|invalid))(?![A-Za-z0-9-]|\.[A-Za-z0-9])|[0-9]\.[0-9]+\.[0-9])'
#   fix: add it to payment_gateways in the gate's configuration, once the contract is in place
#   controls:
#     - PCI DSS 4.0.1 1.3.2
#     - PCI DSS 4.0.1 12.8.1
#     - GDPR Art. 32(2)
package meshwarden.communication.payment_gateway

import data.meshwarden.lib.hosts
import data.meshwarden.lib.settings
import data.meshwarden.lib.values

deny contains {
	"msg": concat("", [values.text(call.what), ": payment gateway ", values.text(call.host), " is not whitelisted"]),
	"path": call.path,
} if {
	some call in hosts.called
	hosts.is_gateway(call.host)
	not values.listed(call.host, settings.payment_gateways)
}
