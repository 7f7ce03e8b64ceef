package config

import "time"

// Limit bounds how much.
type Limit struct {
	GuardCommon `yaml:",inline"`
	// Rates that all operations share; an empty list sets none.
	Rates []Rate `yaml:"rates" unset:"50/s, burst 200, by address, and the same by identity"`
	// Plan says which plan a caller has, for rates that hold for some plans only.
	Plan CallerPlan `yaml:"plan"`
	// Shared counts all gateways' calls together, in the server of state.redis.
	Shared *bool `yaml:"shared" unset:"true where state.redis is set"`
	// AwayShare is the part of each rate that this gateway admits by itself while
	// the shared server cannot be asked: 1 divided by the number of gateways keeps
	// their sum within the rate.
	AwayShare float64 `yaml:"away_share" default:"0.5" min:"0.001" max:"1"`
	// Concurrency bounds how many calls the upstream is asked at once.
	Concurrency Concurrency `yaml:"concurrency"`
	// Concurrent bounds how many calls of one caller are under way at once, on this gateway.
	Concurrent []Concurrent `yaml:"concurrent"`
	// Breaker lets no calls through while most of them fail.
	Breaker *Breaker `yaml:"breaker"`
	// Retry makes calls again that could not be delivered.
	Retry Retry `yaml:"retry"`
}

// Concurrency bounds how many calls the upstream is asked at once, and which of
// them go first (priority of operations).
type Concurrency struct {
	// Most is the most; 0 is without bound.
	Most int `yaml:"most" default:"0" min:"0" max:"1000000" example:"500"`
	// Adaptive has the bound follow latency, between Least and Most: calls that take
	// longer than is usual for their operation lower it.
	Adaptive *bool `yaml:"adaptive" default:"true"`
	// Least is what it never falls below.
	Least int `yaml:"least" default:"10" min:"1" max:"1000000"`
	// Queue is how many calls may wait for a place; 0 refuses them at once.
	Queue int `yaml:"queue" default:"100" min:"0" max:"1000000"`
	// Wait is for how long.
	Wait time.Duration `yaml:"wait" default:"200ms" min:"0s" max:"1m"`
}

// Concurrent bounds how many calls of one caller are under way at once.
type Concurrent struct {
	// By says who is one caller.
	By string `yaml:"by" default:"identity" enum:"address,prefix,identity,key,plan,claim,operation,api"`
	// Most is the most calls at once.
	Most int `yaml:"most" required:"true" min:"1" max:"1000000" example:"20"`
	// Claim whose value makes one caller, for by: claim; dots descend.
	Claim string `yaml:"claim" example:"org_id"`
}

// Breaker lets no calls through to an upstream of which most fail: it could not
// be reached, did not answer in time, or answered 502, 503 or 504.
type Breaker struct {
	// Failures is the share of the calls that opens it.
	Failures float64 `yaml:"failures" default:"0.5" min:"0.01" max:"1"`
	// Calls is of at least how many.
	Calls int `yaml:"calls" default:"20" min:"1" max:"1000000"`
	// Window is within what time.
	Window time.Duration `yaml:"window" default:"10s" min:"100ms" max:"1h"`
	// Open is for how long no calls are let through; doubled, to a minute, where it
	// opens again at once.
	Open time.Duration `yaml:"open" default:"5s" min:"10ms" max:"1h"`
	// Probes are the calls let through then, all of which must succeed.
	Probes int `yaml:"probes" default:"3" min:"1" max:"10000"`
}

// Retry makes calls again that could not be delivered: of idempotent methods
// (RFC 9110 section 9.2.2), without a body, of which no answer has begun.
type Retry struct {
	// Attempts beside the first; 0 is none.
	Attempts int `yaml:"attempts" default:"0" min:"0" max:"5"`
	// Budget is the share of all calls that may be retries.
	Budget float64 `yaml:"budget" default:"0.1" min:"0" max:"1"`
}

// CallerPlan says which plan a caller has.
type CallerPlan struct {
	// Claim of the token that names the plan; dots descend.
	Claim string `yaml:"claim" example:"plan"`
	// Roles that are plans: a caller without the claim has the plan of the first of
	// them that he holds. API keys have roles too.
	Roles []string `yaml:"roles" example:"[gold, silver]"`
	// Default is the plan of callers of whom nothing says one.
	Default string `yaml:"default" unset:"none"`
}

// Rate is one token bucket, or one quota of the calendar.
type Rate struct {
	// By says who shares a bucket: each address, each network (prefix), each identity,
	// each credential (key), all callers of each plan, all callers with the same value
	// of a claim, each caller of each operation, or all callers of the API.
	By string `yaml:"by" default:"address" enum:"address,prefix,identity,key,plan,claim,operation,api"`
	// Name in the answer's RateLimit fields.
	Name string `yaml:"name" example:"daily" unset:"made from by"`
	// Rate is N/s, N/m, N/h, N/d, N/w or N/mo: requests in a second, minute, hour, day,
	// week or month.
	Rate string `yaml:"rate" required:"true" kind:"rate" example:"5/m"`
	// Burst is the bucket's size. A calendar's quota has none.
	Burst int `yaml:"burst" min:"0" max:"10000000" unset:"the rate's number"`
	// Window is "rolling" (what was used comes back evenly; a month has 30 days) or
	// "calendar" (all of it comes back at midnight UTC, at the hour, on the first of the month).
	Window string `yaml:"window" default:"rolling" enum:"rolling,calendar"`
	// IPv4 is the length in bits of an IPv4 network, for by: prefix.
	IPv4 int `yaml:"ipv4" default:"24" min:"1" max:"32"`
	// IPv6 is the length in bits of an IPv6 network that counts as one address; what one subscriber is given.
	IPv6 int `yaml:"ipv6" default:"64" min:"1" max:"128"`
	// Claim whose value shares a bucket, for by: claim; dots descend. Who has none
	// is counted by identity.
	Claim string `yaml:"claim" example:"org_id"`
	// Plans for whose callers it holds.
	Plans []string `yaml:"plans" example:"[free]" unset:"all"`
	// AnswerBytes counts one more request for each so many bytes of the answer,
	// beyond the first so many. They are charged when the answer has been sent.
	AnswerBytes Bytes `yaml:"answer_bytes" min:"0" max:"1TiB" example:"64KiB" unset:"answers of any size count alike"`
}
