"""Bytes and keys: digests, signed envelopes, encryption."""
