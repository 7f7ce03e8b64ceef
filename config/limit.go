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
	// Login protects operations at which passwords or codes can be guessed.
	Login LoginLimit `yaml:"login"`
	// Flows are business flows that programs must not run through (OWASP API6:2023).
	Flows []Flow `yaml:"flows"`
	// Challenge is the work asked of callers whom nobody knows.
	Challenge Challenge `yaml:"challenge"`
	// PageSize is the most that a parameter such as limit or page_size may ask for
	// where the document gives no maximum; 0 is without bound.
	PageSize int `yaml:"page_size" default:"0" min:"0" max:"1000000000" example:"1000"`
	// Batch is the most elements of the arrays at the top of a body where the document
	// gives no maxItems; 0 is without bound but limits.items.
	Batch int `yaml:"batch" default:"0" min:"0" max:"1000000000" example:"500"`
}

// LoginLimit protects operations at which passwords or codes can be guessed. Only
// tries that the API answers with one of Failed count.
type LoginLimit struct {
	// Detect protects the operations that look like a login: a POST with an account
	// and a password in its body. Others are marked by login of operations.
	Detect *bool `yaml:"detect" default:"true"`
	// Tries of one account from one address, or one device, before each further one waits.
	Tries int `yaml:"tries" default:"5" min:"1" max:"60"`
	// Delay is the first wait; each further one is twice as long.
	Delay time.Duration `yaml:"delay" default:"1s" min:"1ms" max:"1h"`
	// Longest wait.
	Longest time.Duration `yaml:"longest" default:"15m" min:"1s" max:"168h"`
	// Forget tries after so much quiet, or a success.
	Forget time.Duration `yaml:"forget" default:"24h" min:"1m" max:"720h"`
	// Accounts is how many different accounts may be tried without success from one
	// address (credential stuffing).
	Accounts string `yaml:"accounts" default:"20/h" kind:"rate"`
	// Account is how many tries of one account, from all addresses and devices that are
	// not known to be its owner's, pass without a challenge.
	Account string `yaml:"account" default:"30/h" kind:"rate"`
	// All is how many failed tries of all accounts from such addresses pass without one.
	All string `yaml:"all" default:"600/h" kind:"rate"`
	// Known is for how long an address or a device stays known after a success.
	Known time.Duration `yaml:"known" default:"720h" min:"1h" max:"8760h"`
	// Device begins the name of the cookie by which a device is known.
	Device string `yaml:"device" default:"crenel-device" kind:"cookie"`
	// Failed are the statuses of the API that say a try has failed.
	Failed []int `yaml:"failed" example:"[401]" unset:"400, 401, 403, 404, 422"`
}

// LoginOperation marks an operation as one at which passwords or codes can be guessed.
type LoginOperation struct {
	// Account is where the account stands: a JSON pointer into the body ("/email") or
	// a parameter ("path:id", "query:user", "header:x-user"). Or "identity", for codes of
	// callers who are logged in.
	Account string `yaml:"account" example:"/email" unset:"found by its name in the body"`
	// Off leaves an operation alone that looks like a login.
	Off bool `yaml:"off"`
}

// Flow is a business flow that programs must not run through, such as a purchase.
type Flow struct {
	// Name of the flow in messages and records.
	Name string `yaml:"name" required:"true" example:"checkout"`
	// Steps are its operations, in order: operationIds. The last is the one that matters.
	Steps []string `yaml:"steps" required:"true" example:"[getBasket, placeOrder]"`
	// HumanTime is the least time between two steps.
	HumanTime time.Duration `yaml:"human_time" default:"0s" min:"0s" max:"1h" example:"2s"`
	// Within what time after the last step the next may be made.
	Within time.Duration `yaml:"within" default:"1h" min:"1m" max:"168h"`
	// Rates of the last step, beside all others.
	Rates []Rate `yaml:"rates"`
	// Challenge asks for work at the last step: of nobody, of callers whom no
	// credential identifies, or of all.
	Challenge string `yaml:"challenge" default:"off" enum:"off,anonymous,always"`
}

// Challenge is work that a program must do and a person does not notice.
type Challenge struct {
	// Bits of work: each one more doubles it. 18 are about a quarter of a million hashes.
	Bits int `yaml:"bits" default:"18" min:"1" max:"32"`
	// Life is for how long a challenge may be answered.
	Life time.Duration `yaml:"life" default:"2m" min:"5s" max:"1h"`
	// Key of challenges and cookies, at least 32 bytes: the same for all gateways.
	Key Secret `yaml:"key" example:"${CRENEL_LIMIT_KEY}" unset:"a random one at each start"`
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
