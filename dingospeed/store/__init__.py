"""The disk: blobs, half-filled blobs and documents. Knows nothing of HTTP or of time-outs."""
