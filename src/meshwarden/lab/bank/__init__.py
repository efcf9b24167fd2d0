"""The sample bank: nine small services, a database and a card network, each its own process.

Start one with `python -m meshwarden.lab.bank.<name>`. It listens on the Unix socket in
MESHWARDEN_SOCKET, or on 127.0.0.1 at PORT, and calls the others as plain `http://<service>/`
through the standard HTTP_PROXY: it knows nothing of the mesh around it. `service` holds what all
share, `fields` what checks their input, `directory` who the customers are. Nothing is imported
here, so that a service pays for no other.
"""
