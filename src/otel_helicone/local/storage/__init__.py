"""What is kept: records, sessions, and the file that holds them."""
