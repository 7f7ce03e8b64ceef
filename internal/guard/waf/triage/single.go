package triage

// What no automaton can express is evaluated by the engine's operators, one text
// after the other. Some of them find nothing in most texts for reasons that are
// quicker to see.

// note finds out what quiet leans on.
func (r *rule) note() {
	r.decoding = true
	for _, names := range r.names {
		for _, n := range names {
			r.decoding = r.decoding && decoders[n]
		}
	}
	if r.name == "validateByteRange" && r.decoding && !r.negated {
		// It looks at each byte for itself.
		for c := range 256 {
			if !r.operator.Evaluate(quiet{}, string([]byte{byte(c)})) {
				r.allowed[c/64] |= 1 << (c % 64)
			}
		}
	}
}

// quiet reports whether it is plain to see that the rule does not match.
func (r *rule) quiet(text string, p *profile) bool {
	if !p.plain || !r.decoding || r.negated {
		return false
	}
	switch r.name {
	case "validateByteRange":
		for i := range p.has {
			if p.has[i]&^r.allowed[i] != 0 {
				return false
			}
		}
		return true
	case "detectXSS":
		// What counts is a tag, a comment or a document type, which begin with <, or the
		// value of an attribute that has a name, which stands behind =.
		return !p.contains('<') && !p.contains('=')
	case "detectSQLi":
		return p.quietSQL(text)
	}
	return false
}

func (p *profile) quietSQL(string) bool { return false }
