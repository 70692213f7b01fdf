"""Load runs: how a service bore each load, in words, tables, files and figures."""
