"""Does the model treat people alike, whatever group they belong to?"""
