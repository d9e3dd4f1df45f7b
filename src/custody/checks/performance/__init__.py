"""Is the model good enough at what it is for?"""
