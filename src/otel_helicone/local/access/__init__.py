"""Who may do what: hosts, origins, tokens."""
