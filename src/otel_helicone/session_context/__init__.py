"""The session context: what the current span says about session id, path and name.

Everything here follows one direction: an application may say something itself (``blocks``), or the
calling service (``remote``); spans are linked to their parents (``local_trace``), their texts are
worked out and frozen (``texts``) and written on them (``stamping``), and all of it is resolved into
one value (``current``), which may be carried elsewhere (``carrying``) or asked for after the end of
a span (``finished``).
"""
