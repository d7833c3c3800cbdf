//! Who may be believed: typed facts, presets of known issuers, and rules over facts.
