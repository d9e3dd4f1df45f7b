"""Does the model keep its training data to itself?"""
