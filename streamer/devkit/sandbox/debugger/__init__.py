"""The sandbox as a debugger, in a browser: the page at ``/`` and what it asks for.

`query` and `finding` say which calls to show; `json_view`, `call_views` and `panels` write HTML; `tail` says what is
new for a viewer. None of these does I/O. `routes` serves the page, its live tail and the endpoints of its buttons.
"""
