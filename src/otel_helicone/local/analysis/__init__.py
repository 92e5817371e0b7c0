"""What a session's records tell: pure functions of them."""
