package meshwarden.lib.images_test

import data.meshwarden.lib.images

test_a_port_is_no_tag if images.tag("registry.example:5000/web") == ""

test_tag_before_digest if images.tag("web:1.2@sha256:00") == "1.2"

test_registry_is_docker_hub_unless_named if {
	images.registry("nginx:1.27") == "docker.io"
	images.registry("bitnami/nginx") == "docker.io"
	images.registry("ghcr.io/a/b") == "ghcr.io"
	images.registry("localhost/a") == "localhost"
}
