"""
The demo: the 6 PM incident, replayed on real data, with real servers, through the product's public interfaces.

It needs the extra ``knowngood[demo]``; nothing outside of this package does.
"""
