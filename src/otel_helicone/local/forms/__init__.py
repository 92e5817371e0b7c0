"""Forms that pages post: read, and told from those of other sites."""
