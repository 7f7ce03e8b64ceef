// Package cases runs the YAML cases that say, request by request, what the whole
// chain does: an API's document, a config, a policy, a request and the
// upstream's answer in; the verdict with its code out. A new bypass is one new case.
package cases
