"""The upstream that answers where no other is named."""
