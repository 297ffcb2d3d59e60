"""Work nobody waits for. It is done by one worker of the node at a time."""
