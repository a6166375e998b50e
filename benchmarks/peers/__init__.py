"""Other ways to do the same work. Imports nothing: peers run this package with interpreters of their own."""
