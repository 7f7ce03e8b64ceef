// Command crenel guards APIs: see crenel --help.
package main

import (
	"os"

	"github.com/crenel-project/crenel/internal/cli"
)

func main() { os.Exit(cli.Execute()) }
