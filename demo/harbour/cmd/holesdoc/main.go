// Command holesdoc writes HOLES.md from the hole files.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/crenel-project/crenel/demo/harbour"
)

func main() {
	out := flag.String("o", "HOLES.md", "file to write")
	flag.Parse()
	err := os.WriteFile(*out, []byte(harbour.HolesMarkdown()), 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "writing the document:", err)
		os.Exit(1)
	}
}
