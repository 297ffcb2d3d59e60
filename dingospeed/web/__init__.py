"""HTTP on the one side, the mirror on the other. Views read the request, ask, reply."""
