"""
The world of the demo: real hours, models trained on them, prices, riders.

Pure: no server, no process, no clock, and nothing of the product but its errors. Everything random is drawn from a
seed that is passed in. What is real here is the hours; what is assumed (fares, fleet, price response, the label of
version 2) is stated where it is defined.
"""
