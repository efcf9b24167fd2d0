# METADATA
# title: External payment gateway is not whitelisted
# custom:
#   severity: critical
#   kinds: [workload, ConfigMap, ServiceEntry, Service, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, compose]
#   fix: add it to payment_gateways in the gate's configuration, once the contract is in place
#   controls:
#     - PCI DSS 4.0.1 1.3.2
#     - PCI DSS 4.0.1 12.8.1
#     - PCI DSS 4.0.1 4.2.1
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
