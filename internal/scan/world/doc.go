// Package world makes an API do honest work, as each actor: valid calls whose
// values fit the description and what answers taught, objects of each resource
// with canaries in them, and an account of what was reached and what was not.
//
// In: a graph, actors, a client. Out: a World: objects with the recipe that
// makes another like them, valid calls for any operation, coverage.
//
// Values come, in this order, from overrides, from objects of the world, from
// links and producers in the graph, from earlier answers, from examples, and
// from the schema; an answer that says what was wrong ("email must be…") is
// read and obeyed. It must never delete what the run did not make, never send
// hostile content, and never claim an operation as reached without a 2xx.
package world
