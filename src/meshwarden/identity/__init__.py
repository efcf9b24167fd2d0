"""Who is calling: SPIFFE identities, their certificates and the authority that signs them."""
