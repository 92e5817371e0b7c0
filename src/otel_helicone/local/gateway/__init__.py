"""The gateway: takes requests, has them answered, and records both."""
