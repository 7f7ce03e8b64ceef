// Package config reads crenel.yaml into a typed, validated, defaulted Config.
//
// In: one YAML file, the environment and the files that it names. Out: a Config
// in which every field has its value, or every mistake at once, each with its
// file, line and what would be right. The JSON Schema and the reference in
// docs/configuration.md are made from the types here, so that they cannot differ.
//
// A secret is written as ${ENV_NAME} or file:PATH, never as a value that is
// printed again. It must never accept an unknown key, never guess, and never
// start anything: it only reads.
package config
