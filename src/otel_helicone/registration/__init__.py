"""How the library gets into an application: in one call, without code, and out again."""
