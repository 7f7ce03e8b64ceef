// Package overload keeps an upstream from being asked for more than it can do.
//
// In: calls with a priority, and how long each took and whether it failed. Out:
// who may go on now, who waits, who is refused at once. Three parts, each a
// function of its clock and of what it was told:
//
//   - Limiter: how many calls run at once. It follows the gradient of latency, as
//     Netflix's Gradient2 and Envoy's adaptive concurrency do, but holds each
//     operation against its own usual time, so that a slow report among fast reads
//     does not look like congestion. Who finds no room waits, the more important first;
//     when the queue is full the least important is refused.
//   - Breaker: no calls while most fail, then a few that find out.
//   - Budget: retries are at most a share of the calls, so that they cannot
//     multiply the load of an upstream that is failing.
//
// It must never start a goroutine, never lose a permit, and never admit fewer than
// Least calls at once, whatever it has measured.
package overload
