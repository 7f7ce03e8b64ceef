// Package ci runs the commands of the pipelines that docs/ci.md offers.
//
// In: action.yml, .pre-commit-hooks.yaml and examples/ci, as users copy them, and the
// binary that the action builds. Out: each shell command is run as its pipeline
// would run it, in a directory like a checkout, against a small living API with a
// hole and without it. What is not ours (uploads, comments) is called, and answered
// by a stand-in that keeps what it got. Nothing leaves the machine.
package ci
