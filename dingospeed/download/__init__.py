"""Spans read, holes filled. Readers watch the disk, fillers fill it."""
