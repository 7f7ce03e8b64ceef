package providers

import "embed"

//go:embed *.mjs
var scripts embed.FS
