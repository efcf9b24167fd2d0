# The lists of the gate's configuration: data.settings, all of them optional.
package meshwarden.lib.settings

allowed_hosts := {lower(host) | some host in data.settings.allowed_hosts}

internal_domains := {lower(name) | some name in data.settings.internal_domains}

payment_gateways := {lower(host) | some host in data.settings.payment_gateways}

registries := {lower(name) | some name in data.settings.registries}
