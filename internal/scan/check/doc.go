// Package check holds what the scanner looks for: one file a check, each with
// its OWASP API 2023 item, CWE, WSTG id, CVSS v4 vector, what it sends, what
// proves it and how to fix it.
//
// In: a Lab (graph, world, people, client, listener). Out: hypotheses, which
// the Lab proves or refutes with scenarios.
//
// A check probes cheaply, then states a Hypothesis with a Scenario that holds
// its own controls. It must never report by itself, never key on a particular
// API's words, and never send what its Mode does not allow.
package check
