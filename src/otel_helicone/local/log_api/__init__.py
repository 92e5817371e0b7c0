"""Helicone's log endpoints, worker and API server alike."""
