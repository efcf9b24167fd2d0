# METADATA
# title: Storage class or volume is not encrypted
# custom:
#   severity: high
#   kinds: [StorageClass, PersistentVolume]
#   fix: set the driver's encryption parameter
#   controls:
#     - PCI DSS 4.0.1 3.5.1
#     - PCI DSS 4.0.1 3.5.1.2
#     - GDPR Art. 32(1)(a)
package meshwarden.workload.storage_unencrypted

import data.meshwarden.lib.values

# Drivers that encrypt only when they are told to: the parameter that tells them.
asks := {
	"ebs.csi.aws.com": "encrypted",
	"ebs.csi.eks.amazonaws.com": "encrypted",
	"kubernetes.io/aws-ebs": "encrypted",
	"rbd.csi.ceph.com": "encrypted",
	"rook-ceph.rbd.csi.ceph.com": "encrypted",
	"openshift-storage.rbd.csi.ceph.com": "encrypted",
	"cephfs.csi.ceph.com": "encrypted",
	"rook-ceph.cephfs.csi.ceph.com": "encrypted",
	"openshift-storage.cephfs.csi.ceph.com": "encrypted",
	"driver.longhorn.io": "encrypted",
	"diskplugin.csi.alibabacloud.com": "encrypted",
	"csi.scaleway.com": "encrypted",
	"pxd.portworx.com": "secure",
	"kubernetes.io/portworx-volume": "secure",
	"linodebs.csi.linode.com": "linodebs.csi.linode.com/luks-encrypted",
	"csi.hetzner.cloud": "csi.storage.k8s.io/node-publish-secret-name",
	"zfs.csi.openebs.io": "encryption",
	"vpc.block.csi.ibm.io": "encrypted",
	"everest-csi-provisioner": "everest.io/crypt-key-id",
	"disk.csi.everest.io": "everest.io/crypt-key-id",
	"com.tencent.cloud.csi.cbs": "encrypt",
}

# Drivers that always encrypt, with the provider's key unless a parameter names another.
keyed := {
	"pd.csi.storage.gke.io": "disk-encryption-kms-key",
	"kubernetes.io/gce-pd": "disk-encryption-kms-key",
	"disk.csi.azure.com": "diskEncryptionSetID",
	"kubernetes.io/azure-disk": "diskEncryptionSetID",
}

# Storage that no parameter encrypts.
never := {
	"nfs.csi.k8s.io", "kubernetes.io/nfs", "k8s-sigs.io/nfs-subdir-external-provisioner",
	"rancher.io/local-path", "openebs.io/local", "kubernetes.io/host-path", "hostpath.csi.k8s.io",
	"kubernetes.io/glusterfs", "local.csi.openebs.io", "docker.io/hostpath",
}

# StorageClass parameters are compared without case, as the drivers do.
parameter(parameters, name) := value if {
	some key, value in parameters
	lower(key) == lower(name)
}

on(parameters, name) if {
	value := parameter(parameters, name)
	not values.falsy(value)
	not value in {"", "none"}
}

deny contains {
	"msg": concat("", [values.text(input.provisioner), " does not encrypt unless parameter ", values.text(asks[input.provisioner]), " says so"]),
	"path": ["parameters", asks[input.provisioner]],
} if {
	input.kind == "StorageClass"
	name := asks[input.provisioner]
	not on(object.get(input, "parameters", {}), name)
}

deny contains {
	"msg": concat("", [values.text(input.provisioner), " is told not to encrypt"]),
	"path": ["parameters", key],
} if {
	input.kind == "StorageClass"
	not asks[input.provisioner]
	some key, value in input.parameters
	lower(key) in {"encrypted", "encryption", "secure", "encryptintransit", "requireencryption"}
	values.falsy(value)
}

deny contains {
	"msg": concat("", [values.text(input.provisioner), " has no encryption of its own"]),
	"path": ["provisioner"],
	"severity": "medium",
} if {
	input.kind == "StorageClass"
	input.provisioner in never
}

deny contains {
	"msg": concat("", [values.text(input.provisioner), " encrypts with the provider's key: ", values.text(keyed[input.provisioner]), " names none of yours"]),
	"path": ["parameters", keyed[input.provisioner]],
	"severity": "low",
} if {
	input.kind == "StorageClass"
	name := keyed[input.provisioner]
	not on(object.get(input, "parameters", {}), name)
}

deny contains {
	"msg": concat("", ["volume of ", values.text(csi.driver), " is not encrypted"]),
	"path": ["spec", "csi", "volumeAttributes", key],
} if {
	input.kind == "PersistentVolume"
	csi := input.spec.csi
	some key, value in csi.volumeAttributes
	lower(key) in {"encrypted", "encryption", "secure", "encryptintransit"}
	values.falsy(value)
}

# The attributes of a volume that its driver made carry the class's parameters.
deny contains {
	"msg": concat("", ["cannot tell that this volume of ", values.text(csi.driver), " is encrypted: no attribute ", values.text(asks[csi.driver])]),
	"path": ["spec", "csi", "driver"],
	"severity": "medium",
} if {
	input.kind == "PersistentVolume"
	csi := input.spec.csi
	name := asks[csi.driver]
	object.get(csi, ["volumeAttributes", name], null) == null
	not csi.nodeStageSecretRef
}

deny contains {
	"msg": concat("", ["a volume of sort ", values.text(field), " has no encryption of its own"]),
	"path": ["spec", field],
	"severity": "medium",
} if {
	input.kind == "PersistentVolume"
	some field in ["nfs", "hostPath", "glusterfs", "local", "iscsi", "awsElasticBlockStore", "cephfs", "rbd"]
	input.spec[field]
}
