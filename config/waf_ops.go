package config

// WAFExclusion silences rules of the WAF where they are wrong: at one place of one
// operation, mostly. A rule that is named by none of Rules, Tags and Classes goes on
// to judge there, and the same rule goes on to judge everywhere else.
type WAFExclusion struct {
	// Operation is an operationId, or "METHOD /path/template" with * for any run of characters.
	Operation string `yaml:"operation" example:"createNote" unset:"every operation"`
	// At is a place: a JSON pointer into the body in which a token * is any one token,
	// or query:name, path:name, header:name, cookie:name, or path for the path itself.
	At string `yaml:"at" example:"/items/*/text" unset:"everywhere"`
	// Rules are ids, and ranges of them.
	Rules []string `yaml:"rules" example:"[\"942350\", \"942400-942499\"]"`
	// Tags of rules, such as attack-sqli or language-php.
	Tags []string `yaml:"tags" example:"[attack-sqli]"`
	// Classes of attacks, as the files of the Core Rule Set divide them.
	Classes []string `yaml:"classes" enum:"method,scanner,protocol,protocol_attack,lfi,rfi,rce,php,generic,xss,sqli,fixation,java" noun:"class"`
	// Reason is for whoever reads the config: why this is no attack, or the event that showed it.
	Reason string `yaml:"reason" example:"\"free text; event 01JD8XZ4T2KQ9M3V5W7Y0B1C2D\""`
}

// WAFOperation sets how strictly single operations are judged. Of several entries that
// match one, what the later ones set counts.
type WAFOperation struct {
	// Operation is an operationId, or "METHOD /path/template" with * for any run of characters.
	Operation string `yaml:"operation" required:"true" example:"\"POST /payments*\""`
	// Paranoia is the rule set's level for these operations. Each level that is used in all
	// compiles the rule set once more.
	Paranoia int `yaml:"paranoia" min:"1" max:"4" unset:"the API's"`
	// Threshold is the inbound anomaly score that denies at these operations.
	Threshold int `yaml:"threshold" min:"1" max:"1000" unset:"the API's"`
}

// What becomes of a request that would cost more than the WAF's budget, and of a
// value longer than it inspects.
const (
	OverRefuse = "refuse"
	OverSample = "sample"
)
