package config

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAddWAFExclusion(t *testing.T) {
	e := WAFExclusion{Operation: "createNote", At: "/text", Rules: []string{"942350"}}
	const line = `{operation: "createNote", at: "/text", rules: ["942350"]}`
	for name, c := range map[string]struct{ before, after string }{
		"no guards": {"apis:\n- name: a # the one\n  spec: s\n\n# the end\n", "apis:\n- name: a # the one\n  spec: s\n  guards:\n    waf:\n      exclusions:\n        - " + line + "\n\n# the end\n"},
		"no waf": {"apis:\n  - name: a\n    guards:\n      limit: {}\n    spec: s\n",
			"apis:\n  - name: a\n    guards:\n      limit: {}\n      waf:\n        exclusions:\n          - " + line + "\n    spec: s\n"},
		"waf, a block": {"apis:\n- name: a\n  guards:\n    waf:\n      # careful\n      paranoia: 2   # two\n\n      value: 1KiB\n    limit: {}\n",
			"apis:\n- name: a\n  guards:\n    waf:\n      # careful\n      paranoia: 2   # two\n\n      value: 1KiB\n      exclusions:\n        - " + line + "\n    limit: {}\n"},
		"waf in braces":      {"apis:\n- name: a\n  guards:\n    waf: {paranoia: 2} # two\n", "apis:\n- name: a\n  guards:\n    waf: {paranoia: 2, exclusions: [" + line + "]} # two\n"},
		"empty braces":       {"apis:\n- name: a\n  guards: {}\n", "apis:\n- name: a\n  guards: {waf: {exclusions: [" + line + "]}}\n"},
		"all in braces":      {"apis: [{name: ä, spec: s}]\n", "apis: [{name: ä, spec: s, guards: {waf: {exclusions: [" + line + "]}}}]\n"},
		"a list in brackets": {"apis:\n- name: a\n  guards:\n    waf:\n      exclusions: [{rules: [\"1\"]}]\n", "apis:\n- name: a\n  guards:\n    waf:\n      exclusions: [{rules: [\"1\"]}, " + line + "]\n"},
		"an empty list":      {"apis:\n- name: a\n  guards:\n    waf: {exclusions: []}\n", "apis:\n- name: a\n  guards:\n    waf: {exclusions: [" + line + "]}\n"},
		"a list, not indented": {"apis:\n- name: a\n  guards:\n    waf:\n      exclusions:\n      # first\n      - rules: [\"1\"]\n        at: /x\n      # second\n      - {rules: [\"2\"]} # two\n      # after\n      paranoia: 2\n",
			"apis:\n- name: a\n  guards:\n    waf:\n      exclusions:\n      # first\n      - rules: [\"1\"]\n        at: /x\n      # second\n      - {rules: [\"2\"]} # two\n      - " + line + "\n      # after\n      paranoia: 2\n"},
		"a list, indented": {"apis:\n- name: a\n  guards:\n    waf:\n      exclusions:\n        -   at: /x\n            rules: [\"1\"]\n      paranoia: 2\n",
			"apis:\n- name: a\n  guards:\n    waf:\n      exclusions:\n        -   at: /x\n            rules: [\"1\"]\n        - " + line + "\n      paranoia: 2\n"},
		"no line end":    {"apis:\n- name: a\n  guards:\n    waf:\n      paranoia: 2", "apis:\n- name: a\n  guards:\n    waf:\n      paranoia: 2\n      exclusions:\n        - " + line + "\n"},
		"of Windows":     {"apis:\r\n- name: a\r\n  guards:\r\n    waf:\r\n      paranoia: 2\r\n", "apis:\r\n- name: a\r\n  guards:\r\n    waf:\r\n      paranoia: 2\r\n      exclusions:\r\n        - " + line + "\r\n"},
		"the second API": {"apis:\n- name: b\n  guards:\n    waf:\n      paranoia: 2\n- name: a\n  spec: s\n", "apis:\n- name: b\n  guards:\n    waf:\n      paranoia: 2\n- name: a\n  spec: s\n  guards:\n    waf:\n      exclusions:\n        - " + line + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			api := "a"
			if strings.Contains(c.before, "ä") {
				api = ""
			}
			got, err := AddWAFExclusion([]byte(c.before), "crenel.yaml", api, e)
			if err != nil || string(got) != c.after {
				t.Errorf("%v\n%s\nwant\n%s", err, got, c.after)
			}
		})
	}
}

// Where it cannot be added, the line to add is told, and nothing is changed.
func TestAddWAFExclusionByHand(t *testing.T) {
	for name, before := range map[string]string{
		"an alias":  "x: &w {paranoia: 2}\napis:\n- name: a\n  guards:\n    waf: *w\n",
		"no API":    "apis:\n- name: b\n",
		"no YAML":   "apis: [\n",
		"empty key": "apis:\n- name: a\n  guards:\n    waf:\n",
		"a text":    "apis:\n- name: a\n  guards: none\n",
	} {
		if got, err := AddWAFExclusion([]byte(before), "crenel.yaml", "a", WAFExclusion{Rules: []string{"942350"}}); err == nil {
			t.Errorf("%s: added:\n%s", name, got)
		}
	}
}

// Whatever stands in an exclusion, it is read as it was written, and the rest of the
// file stays as it is.
func TestAddedExclusionsAreReadAsWritten(t *testing.T) {
	files := []string{"apis:\n- name: a\n  # why\n  spec: s\n", "apis: [{name: a}]\n"}
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(rapid.SampledFrom(files).Draw(t, "file"))
		text := rapid.StringOfN(rapid.RuneFrom([]rune("a/$${}#:'\"\\,[]é\u2028 -\t*&!%@`|>\x01")), 0, 12, -1)
		var want []WAFExclusion
		for range rapid.IntRange(1, 3).Draw(t, "n") {
			e := WAFExclusion{Operation: text.Draw(t, "operation"), At: text.Draw(t, "at"), Rules: []string{"942350"}, Reason: text.Draw(t, "reason")}
			before, err := read(data, "crenel.yaml")
			if err != nil {
				t.Fatal(err)
			}
			out, err := AddWAFExclusion(data, "crenel.yaml", before.APIs[0].Name, e)
			if err != nil {
				t.Fatalf("%v", err)
			}
			for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
				if !strings.Contains(string(out), strings.TrimRight(line, "]}")) {
					t.Fatalf("the line %q is gone:\n%s", line, out)
				}
			}
			data = out
			want = append(want, e)
		}
		c, err := read(data, "crenel.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.APIs[0].Guards.WAF.Exclusions; !reflect.DeepEqual(got, want) {
			t.Fatalf("%q, want %q\n%s", got, want, data)
		}
	})
}
