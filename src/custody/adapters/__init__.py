"""Where the outside world is read and written: files, services, engines."""
