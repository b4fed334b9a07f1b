"""
The demo: the 6 PM incident, replayed on real data, with real servers.

What happens on stage is asked for through the command line and read from its answers. What is judged in process instead
(placebos, level 1 on every evening) is handed to the control plane's own functions, and says that it is fast mode. It
needs the extra ``knowngood[demo]``; nothing outside of this package does.
"""
