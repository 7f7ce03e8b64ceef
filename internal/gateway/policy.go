package gateway

import (
	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// PolicyFeeds are the sources of an API's policy that change while it decides.
// The guard that they are given to starts and closes them.
func PolicyFeeds(ac *config.API, deps Deps) ([]authz.Feed, error) {
	var out []authz.Feed
	if list := ac.Guards.Authz.Bundles; len(list) > 0 {
		f, err := deps.Bundles.Feed(ac.Name, list)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return append(out, deps.Relations.Feeds(ac.Guards.Authz.Sources)...), nil
}

// SourceInfo is how a source of an API's policy is.
type SourceInfo struct {
	API string
	authz.SourceState
}

// Sources say how the sources of all policies are, in the config's order. What an
// API's policy reads once, when the config is loaded, is none.
func (g *Gateway) Sources() []SourceInfo {
	var out []SourceInfo
	for _, a := range g.apis {
		if a.policy == nil || a.policy.Engine() == nil {
			continue
		}
		for _, s := range a.policy.Engine().States() {
			out = append(out, SourceInfo{a.cfg.Name, s})
		}
	}
	return out
}

// Policy returns the authz guard of an API, nil when there is no such API.
func (g *Gateway) Policy(api string) *authz.Guard {
	for _, a := range g.apis {
		if a.cfg.Name == api {
			return a.policy
		}
	}
	return nil
}
