"""What changes one thing at a time; each file is named after it."""
