"""The vocabulary of kreabench: what is asked (specs), what happened (records), what can go wrong (errors).

Standard library only, so that every other layer can import it at no cost.
"""
