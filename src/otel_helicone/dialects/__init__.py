"""From finished spans to what happened, whatever vocabulary of attributes they are written in."""
