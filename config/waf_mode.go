package config

// The inspections of guard waf, as WAF.Inspection.
const (
	// WAFTuned leaves out what the contract has settled and weighs rules by what
	// they read.
	WAFTuned = "tuned"
	// WAFExact is the rule set's own verdict on everything.
	WAFExact = "exact"
)

// Exact reports whether the rule set's own verdict counts.
func (w *WAF) Exact() bool { return w.Inspection == WAFExact }
