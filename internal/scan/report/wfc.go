package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// WFC writes a report in the form of the Web Fuzzing Commons: what each test
// case (here: each finding's proof) covered and which faults it shows.
func WFC(w io.Writer, r *scan.Report) error {
	type m = map[string]any
	faults, tests, covered, files := []m{}, []m{}, []m{}, []string{}
	calls := 0
	for _, f := range r.Findings {
		id := f.Check + "-" + f.Fingerprint
		test := m{"id": id, "name": f.Title}
		if f.Regression != "" {
			test["filePath"] = f.Regression
			files = append(files, f.Regression)
		}
		tests = append(tests, test)
		calls += len(f.Evidence)
		endpoint := endpointID(f.Method, f.Path)
		faults = append(faults, m{
			"operationId": endpoint, "endpointId": endpoint, "testCaseId": id,
			"faultCategories": []m{{"code": faultCode(f), "context": fmt.Sprintf("%s %s %s", f.Check, f.CWE, f.Where)}},
		})
		if f.Path == "" {
			continue
		}
		statuses := []int{}
		for _, e := range f.Evidence {
			if e.Part == "attack" && e.Request.Method == f.Method && e.Response.Status > 0 && !slices.Contains(statuses, e.Response.Status) {
				statuses = append(statuses, e.Response.Status)
			}
		}
		covered = append(covered, m{"endpointId": endpoint, "testCaseId": id, "httpStatus": statuses})
	}
	endpoints := []string{}
	for _, c := range r.Coverage {
		if id := endpointID(c.Method, c.Path); !slices.Contains(endpoints, id) {
			endpoints = append(endpoints, id)
		}
	}
	slices.Sort(files)
	warnings := []m{}
	if r.Ended != "" {
		warnings = append(warnings, m{"message": "The run ended early: " + r.Ended, "category": "run", "displayPriority": 1})
	}
	for _, p := range r.Problems {
		warnings = append(warnings, m{"message": p.Who + " " + p.What + " " + p.Advice, "category": "authentication", "displayPriority": 2})
	}
	for _, p := range r.Repairs {
		warnings = append(warnings, m{"message": p.Where + ": " + p.What, "category": "schema", "displayPriority": 5})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m{
		"schemaVersion": "0.0.1", "toolName": r.Tool.Name, "toolVersion": cmp.Or(r.Tool.Version, "unknown"), "creationTime": r.Started.UTC().Format("2006-01-02T15:04:05Z"),
		"faults": m{"totalNumber": len(faults), "foundFaults": faults}, "totalTests": len(tests), "testFilePaths": slices.Compact(files), "testCases": tests,
		"problemDetails":         m{"rest": m{"outputHttpCalls": calls, "evaluatedHttpCalls": r.Stats.Requests, "endpointIds": endpoints, "coveredHttpStatus": covered}},
		"executionTimeInSeconds": int(math.Ceil(r.Stats.Seconds)),
		"extra":                  []m{{"toolName": r.Tool.Name, "criteria": []m{{"name": "operations answered with a success", "covered": r.Stats.Reached, "total": r.Stats.Operations}}}},
		"warnings":               warnings,
	}); err != nil {
		return fmt.Errorf("writing the Web Fuzzing Commons report: %w", err)
	}
	return nil
}

func endpointID(method, path string) string { return cmp.Or(method, "ANY") + ":" + cmp.Or(path, "/") }

// faultCode is the category of a finding in the Web Fuzzing Commons' list
// (fault_categories.json); 900 and above are a tool's own: 900 and the number of
// the OWASP item.
func faultCode(f *finding.Finding) int {
	switch f.CWE {
	case "CWE-89":
		return 200
	case "CWE-79":
		return 201
	case "CWE-918":
		return 202
	case "CWE-915":
		return 203
	case "CWE-306":
		return 206
	case "CWE-639", "CWE-285", "CWE-862", "CWE-863":
		return 204
	}
	n := 0
	if _, err := fmt.Sscanf(f.OWASP, "API%d:", &n); err == nil && n >= 1 && n <= 10 {
		return 900 + n
	}
	return 900
}
