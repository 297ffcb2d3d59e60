"""One worker per key among all processes of a node."""
