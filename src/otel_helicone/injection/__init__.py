"""Session headers on outgoing requests to Helicone: which hosts, which headers, which clients."""
