package structured

import "testing"

func TestDictionary(t *testing.T) {
	for _, lines := range [][]string{
		{`a=1, b="x y";p=2`}, {`a=1,b="x y";p=2`}, {"a=1", "b=2"}, {`a=("x"   "y");q, b`}, {"a=:YQ==:"}, {"  a=1 ,\tb=2  "},
	} {
		if _, err := Dictionary("X", lines, 100); err != nil {
			t.Errorf("%q: %v", lines, err)
		}
	}
	for _, lines := range [][]string{
		nil, {"a=1, a=2"}, {"a=1", "a=1"}, {"a=1;p=1;p=2"}, {`a=("x";k=1;k=2)`}, {"a=?1"}, {"a=01"}, {"a=1,"}, {"A=1"}, {"a=:YQ:"}, {"a=1 b=2"},
		{"\x00"}, {`a="`}, {"a=" + string(make([]byte, 200))}, {"a=1.50"},
	} {
		if d, err := Dictionary("X", lines, 100); err == nil {
			t.Errorf("%q is taken: %v", lines, d.Names())
		}
	}
}

func FuzzDictionary(f *testing.F) {
	f.Add(`sig1=("@method" "@query-param";name="a");created=1;keyid="k"`)
	f.Add(`a=1, a=2`)
	f.Fuzz(func(t *testing.T, line string) {
		d, err := Dictionary("X", []string{line}, 4096)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, n := range d.Names() {
			if seen[n] {
				t.Fatalf("%q: %s twice", line, n)
			}
			seen[n] = true
		}
	})
}
