"""What is inside the artifact's files, and what is it built from? Bytes are read, never loaded."""
