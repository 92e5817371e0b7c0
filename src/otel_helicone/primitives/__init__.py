"""What everything else is built on, and what imports nothing else of this library.

Names of attributes and headers, texts made safe for a header, paths, the rule for segments, hosts,
and how trouble is logged.
"""
