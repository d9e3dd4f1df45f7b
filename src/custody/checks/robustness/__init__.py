"""Does the model hold against people who want it to fail?"""
