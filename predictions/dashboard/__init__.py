"""What the start page tells, a story a module. `predictions.start_page` puts them together."""
