"""The durable state of the token service: keys, chains, revocations, spent tokens, histories."""
