package graph

import "testing"

// TestMeaningOfAnotherAPI: a field that names whose API it is holds an address that is
// called; the word alone, and what is no text, says nothing of the kind.
func TestMeaningOfAnotherAPI(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		want      Meaning
	}{
		{"partner_api", "string", MeansCallback},
		{"warehouseApi", "string", MeansCallback},
		{"api", "string", MeansUndefined},
		{"uses_api", "boolean", MeansUndefined},
		{"partner_api_id", "string", MeansUndefined},
		{"api_version", "string", MeansUndefined},
	} {
		if got, _ := meaningOf(c.name, "", c.typ); got != c.want {
			t.Errorf("%s (%s) means %q, want %q", c.name, c.typ, got, c.want)
		}
	}
}
