"""Pages for people: charts and one self-contained document, drawn with the standard library alone."""
