"""What trained heads do inside: maps of one forward pass, numbers of their state, changes while they predict."""
