"""
The verbs: what people ask of the control plane, one function each.

Plain values go in, one JSON document comes out. The command line and the API call the same functions, and both read
nothing but the documents. Modules are imported one by one, so that ``kg status`` pays for no database layer.
"""
