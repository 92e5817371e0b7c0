"""Helicone's API beside the logs: sessions, requests, feedback and scores."""
