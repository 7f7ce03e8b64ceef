package scan

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// jsonNet is where Debian has Json.NET.
const jsonNet = "/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll"

const icehouseSpec = `openapi: 3.0.3
info: {title: Icehouse, version: "1"}
paths:
  /states/restore:
    post:
      summary: Go on where one was
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [state], properties: {state: {type: string, format: byte, example: AAEAAAD/////AQAAAAAAAAAGAQAAAARob21lCw==}}}}}}
      responses: {"200": {description: done}}
  /views/restore:
    post:
      summary: Take a view back
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [state], properties: {state: {type: string, format: byte, example: AAEAAAD/////AQAAAAAAAAAGAQAAAARob21lCw==}}}}}}
      responses: {"200": {description: done}}
  /notes:
    post:
      summary: Keep a note
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}}
      responses: {"200": {description: done}}
  /cards:
    post:
      summary: Keep a card
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}, extra: {type: object}}}}}}
      responses: {"200": {description: done}}
`

// Objects of .NET, read by Mono's BinaryFormatter and by Json.NET.
func TestIcehouse(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers")
	}
	if _, err := os.Stat(jsonNet); err != nil {
		notThere(t, "libnewtonsoft-json5.0-cil")
	}
	mcs, err := exec.LookPath("mcs")
	if err != nil {
		notThere(t, "mono-mcs")
	}
	file := filepath.Join(t.TempDir(), "icehouse.exe")
	if out, err := exec.CommandContext(t.Context(), mcs, "-out:"+file, "-r:"+jsonNet, "testdata/Icehouse.cs").CombinedOutput(); err != nil {
		t.Fatalf("mcs: %v: %s", err, out)
	}
	twins(t, icehouseSpec, func(t *testing.T, open bool) http.Handler {
		return behind(t, "mono", func(port string) []string {
			return []string{file, port, map[bool]string{true: "open", false: "shut"}[open]}
		})
	}, []hole{
		{"deserialization", "POST", "/states/restore", "body./state"},
		{"deserialization", "POST", "/views/restore", "body./state"},
		{"deserialization", "POST", "/notes", "body./$type"},
		{"deserialization", "POST", "/cards", "body./extra"},
	}, "deserialization")
}
