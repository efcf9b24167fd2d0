# METADATA
# title: Cloud storage is not encrypted
# custom:
#   severity: high
#   kinds: [terraform]
#   fix: switch encryption on in the resource
#   controls:
#     - PCI DSS 4.0.1 3.5.1
#     - PCI DSS 4.0.1 3.5.1.2
#     - PCI DSS 4.0.1 4.2.1
#     - GDPR Art. 32(1)(a)
package meshwarden.workload.cloud_storage_unencrypted

import data.meshwarden.lib.values

# Resources, and the argument that must be true (or set).
demanded := {
	"aws_ebs_volume": [["encrypted"]],
	"aws_ebs_snapshot_copy": [["encrypted"]],
	"aws_db_instance": [["storage_encrypted"]],
	"aws_rds_cluster": [["storage_encrypted"]],
	"aws_rds_global_cluster": [["storage_encrypted"]],
	"aws_docdb_cluster": [["storage_encrypted"]],
	"aws_neptune_cluster": [["storage_encrypted"]],
	"aws_efs_file_system": [["encrypted"]],
	"aws_redshift_cluster": [["encrypted"]],
	"aws_elasticache_replication_group": [["at_rest_encryption_enabled"], ["transit_encryption_enabled"]],
	"aws_dax_cluster": [["server_side_encryption", 0, "enabled"]],
	"aws_opensearch_domain": [["encrypt_at_rest", 0, "enabled"], ["node_to_node_encryption", 0, "enabled"]],
	"aws_elasticsearch_domain": [["encrypt_at_rest", 0, "enabled"], ["node_to_node_encryption", 0, "enabled"]],
	"aws_fsx_openzfs_file_system": [["kms_key_id"]],
	"aws_sns_topic": [["kms_master_key_id"]],
	"aws_eks_cluster": [["encryption_config", 0, "resources"]],
	"aws_workspaces_workspace": [["root_volume_encryption_enabled"], ["user_volume_encryption_enabled"]],
	"alicloud_disk": [["encrypted"]],
	"alicloud_db_instance": [["encryption_key"]],
	"scaleway_rdb_instance": [["encryption_at_rest"]],
	"ibm_is_volume": [["encryption_key"]],
	"azurerm_linux_virtual_machine": [["encryption_at_host_enabled"]],
	"azurerm_windows_virtual_machine": [["encryption_at_host_enabled"]],
	"openstack_blockstorage_volume_v3": [["volume_type"]],
}

# Arguments that are on unless someone switches them off.
not_off := {
	"azurerm_storage_account": [["https_traffic_only_enabled"], ["enable_https_traffic_only"]],
	"azurerm_mssql_database": [["transparent_data_encryption_enabled"]],
	"azurerm_postgresql_server": [["ssl_enforcement_enabled"]],
	"azurerm_mysql_server": [["ssl_enforcement_enabled"]],
	"azurerm_mariadb_server": [["ssl_enforcement_enabled"]],
	"azurerm_redis_cache": [["ssl_enabled"]],
	"aws_dynamodb_table": [["server_side_encryption", 0, "enabled"]],
	"aws_sqs_queue": [["sqs_managed_sse_enabled"]],
}

# Arguments with a value that means plaintext.
plaintext := {
	"aws_kinesis_stream": [[["encryption_type"], "NONE"]],
	"aws_msk_cluster": [
		[["encryption_info", 0, "encryption_in_transit", 0, "client_broker"], "PLAINTEXT"],
		[["encryption_info", 0, "encryption_in_transit", 0, "client_broker"], "TLS_PLAINTEXT"],
	],
	"azurerm_redis_cache": [[["non_ssl_port_enabled"], true], [["enable_non_ssl_port"], true]],
	"azurerm_storage_account": [[["min_tls_version"], "TLS1_0"], [["min_tls_version"], "TLS1_1"]],
	"google_sql_database_instance": [
		[["settings", 0, "ip_configuration", 0, "ssl_mode"], "ALLOW_UNENCRYPTED_AND_ENCRYPTED"],
		[["settings", 0, "ip_configuration", 0, "require_ssl"], false],
	],
	"linode_volume": [[["encryption"], "disabled"]],
	"linode_instance": [[["disk_encryption"], "disabled"]],
	"aws_athena_workgroup": [[["configuration", 0, "enforce_workgroup_configuration"], false]],
}

# What a change leaves behind; removals leave nothing.
created contains {"i": i, "change": change} if {
	some i, change in input.resource_changes
	object.get(change, "mode", "managed") == "managed"
	is_object(change.change.after)
}

argument(path) := concat(".", [values.text(part) | some part in path; not is_number(part)])

unknown(change, path) if object.get(object.get(change.change, "after_unknown", {}), path, false) == true

unknown(change, path) if object.get(object.get(change.change, "after_unknown", {}), [path[0]], false) == true

is_on(value) if {
	not values.falsy(value)
	not values.empty(value)
}

finding(found, path, message) := {
	"msg": concat("", [values.text(found.change.address), ": ", values.text(message)]),
	"path": array.concat(["resource_changes", found.i, "change", "after"], path),
}

deny contains finding(found, path, concat("", [values.text(argument(path)), " is not set"])) if {
	some found in created
	some path in demanded[found.change.type]
	not is_on(object.get(found.change.change.after, path, null))
	not unknown(found.change, path)
}

deny contains finding(found, path, concat("", [values.text(argument(path)), " is switched off"])) if {
	some found in created
	some path in not_off[found.change.type]
	object.get(found.change.change.after, path, null) == false
}

deny contains finding(found, path, concat("", [values.text(argument(path)), " is ", values.text(value)])) if {
	some found in created
	some [path, value] in plaintext[found.change.type]
	object.get(found.change.change.after, path, null) == value
}

# Disks that are part of a machine.
deny contains finding(found, [field, j, "encrypted"], concat("", [values.text(field), " is not encrypted"])) if {
	some found in created
	found.change.type in {"aws_instance", "aws_launch_configuration", "aws_spot_instance_request"}
	some field in ["root_block_device", "ebs_block_device"]
	some j, device in found.change.change.after[field]
	object.get(device, "encrypted", null) != true
	not unknown(found.change, [field, j, "encrypted"])
}

deny contains finding(found, ["root_block_device"], "root_block_device is not encrypted") if {
	some found in created
	found.change.type in {"aws_instance", "aws_launch_configuration", "aws_spot_instance_request"}
	count(object.get(found.change.change.after, "root_block_device", [])) == 0
	not unknown(found.change, ["root_block_device"])
}

deny contains finding(found, ["block_device_mappings", j], "a block device is not encrypted") if {
	some found in created
	found.change.type == "aws_launch_template"
	some j, mapping in found.change.change.after.block_device_mappings
	some device in mapping.ebs
	not values.truthy(object.get(device, "encrypted", "false"))
}

encrypted_elsewhere(change) if change.address in values.context.encrypted_buckets

deny contains finding(found, ["bucket"], "the plan demands no encryption of this bucket") if {
	some found in created
	found.change.type == "aws_s3_bucket"
	count(object.get(found.change.change.after, "server_side_encryption_configuration", [])) == 0
	not encrypted_elsewhere(found.change)
}

deny contains object.union(finding(found, [field], concat("", ["the provider's key is used: ", values.text(field), " names none of yours"])), {"severity": "low"}) if {
	some found in created
	field := {"google_compute_disk": "disk_encryption_key", "google_storage_bucket": "encryption", "azurerm_managed_disk": "disk_encryption_set_id"}[found.change.type]
	values.empty(object.get(found.change.change.after, field, null))
	not unknown(found.change, [field])
}
