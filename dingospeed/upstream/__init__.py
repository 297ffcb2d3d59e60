"""The way outside: clients of the upstream, their health, and the order they are asked in."""
