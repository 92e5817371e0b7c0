"""How values are written on the wire, as Helicone's own servers, in JavaScript, write them."""
