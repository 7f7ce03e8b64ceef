// Command opa is Open Policy Agent itself, built for tests that hold Crenel's
// bundles and decisions beside it.
package main

import (
	"os"

	"github.com/open-policy-agent/opa/cmd"
)

func main() {
	if err := cmd.RootCommand.Execute(); err != nil {
		os.Exit(1)
	}
}
