"""The pages that show sessions in a browser."""
