"""What the commands for a database host share. Hosts get a copy, so it imports nothing else of this project."""
