"""What nodes of a group know of each other, by way of Redis; and how they choose whom to ask."""
