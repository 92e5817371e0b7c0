"""The session context: what the current span says about session id, path and name.

Everything here follows one direction: texts are escaped (``escaping``), spans become segments
(``segments``) and paths (``path``), spans are linked to their parents (``ancestry``), an
application may say more (``blocks``), and all of it is resolved into one value (``current``).
"""
