package config

// AuthzFilter asks a policy for a condition on rows instead of a yes or no, and
// says who applies it: the upstream, or the gateway to the answer.
type AuthzFilter struct {
	// Operations whose answers are lists: operationIds, or "METHOD /path/template" with
	// * for any run of characters.
	Operations []string `yaml:"operations" required:"true" example:"[listPets, \"GET /orders*\"]"`
	// Rule that says of a row whether the caller may see it.
	Rule string `yaml:"rule" default:"data.crenel.authz.filter"`
	// Unknowns are the references of the rule that stand for rows.
	Unknowns []string `yaml:"unknowns" default:"input.row"`
	// Columns are the upstream's names of what the rule calls fields; in answers a name
	// or a JSON pointer within an element. owner and tenant are found in the document.
	Columns map[string]string `yaml:"columns" example:"{owner: customer_id}" unset:"as in the rule"`
	// Types are the JSON types of columns; a condition that only another type could
	// fulfil is left out.
	Types map[string]string `yaml:"types" enum:"string,integer,number,boolean" noun:"type" example:"{owner: integer}"`
	// As says who applies the condition: the gateway to the answer, or the upstream,
	// told by a header or by the query.
	As string `yaml:"as" default:"answer" enum:"answer,header,query"`
	// Name of the header or of the query's parameter.
	Name string `yaml:"name" example:"X-Row-Filter" unset:"X-Crenel-Filter; in the query filter"`
	// Format of the condition for the upstream. fields is plain equality; in the query
	// each field is a parameter of its own.
	Format string `yaml:"format" default:"ucast" enum:"ucast,sql,odata,rsql,fields" noun:"format"`
	// Dialect of SQL.
	Dialect string `yaml:"dialect" default:"postgresql" enum:"postgresql,mysql,sqlserver,sqlite" noun:"dialect"`
	// List is the JSON pointer of the list in the answer; / alone is the answer itself.
	List string `yaml:"list" example:"/items" unset:"where the document has one list of objects"`
	// Masks is a rule that gives an object: field, and how it is masked in the answer.
	Masks string `yaml:"masks" example:"data.crenel.authz.masks"`
}

// Matches reports whether the filter is for an operation.
func (f *AuthzFilter) Matches(id, method, path string) bool {
	for _, name := range f.Operations {
		o := OperationOverride{Operation: name}
		if o.Matches(id, method, path) {
			return true
		}
	}
	return false
}
