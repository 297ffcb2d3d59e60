"""Where missing bytes come from."""
