"""What several test files share: toys, checks, processes and a ClearML server."""
