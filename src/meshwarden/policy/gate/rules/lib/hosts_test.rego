package meshwarden.lib.hosts_test

import data.meshwarden.lib.hosts

test_public_names_are_external if {
	every host in {"api.vendor.com", "x.bank.example", "a.b.co.uk", "8.8.8.8"} {
		hosts.external(host)
	}
}

test_cluster_names_are_not if {
	every host in {"ledger", "ledger.core", "ledger.core.svc.cluster.local", "10.0.0.1", "db-0.db"} {
		not hosts.external(host)
	}
}

test_authority_of_a_url if {
	hosts.from_url("https://user:word@api.vendor.com:8443") == "api.vendor.com"
}

test_comments_are_left_out if {
	found := hosts.urls("# see https://a.example\nurl: https://b.example/x")
	found == {"https://b.example"}
}

test_gateways_by_provider_and_by_label if {
	hosts.is_gateway("api.stripe.com")
	hosts.is_gateway("psp.vendor.example")
	not hosts.is_gateway("files.vendor.example")
}
